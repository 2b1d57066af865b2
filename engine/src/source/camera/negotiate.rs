//! Which of the pictures that a camera offers is taken.

/// How a camera sends its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Jpeg,
    Yuyv,
}

impl Form {
    /// As Video4Linux names it.
    pub(super) fn of(code: [u8; 4]) -> Option<Self> {
        match &code {
            b"MJPG" | b"JPEG" => Some(Self::Jpeg),
            b"YUYV" => Some(Self::Yuyv),
            _ => None,
        }
    }
}

/// One kind of picture that a camera can send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) code: [u8; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pictures a second at most; `None` where the camera does not say.
    pub(super) rate: Option<f32>,
}

/// What a call is good for: more lines or pictures are scaled down or left out on the way.
const WANTED: (u32, u32) = (1280, 720);
const RATE: f32 = 30.0;
/// What is not smooth any more: fewer lines are better than that.
const SMOOTH: f32 = 24.0;
/// As many lines as a call carries.
const MOST_SIDE: u32 = 1920;

/// The best of the offers for a call: smooth first, then as large as wanted, then no larger than that; then as many pictures as
/// wanted; then uncompressed, which costs the camera's time and ours less and has more colour. `None` where none can be read.
pub(super) fn choose(offers: &[Offer]) -> Option<(Offer, Form)> {
    let usable = offers.iter().filter_map(|offer| {
        let fits = (16..=MOST_SIDE).contains(&offer.width) && (16..=MOST_SIDE).contains(&offer.height);
        Form::of(offer.code).filter(|_| fits).map(|form| (*offer, form))
    });
    usable.max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal))
}

/// Larger is better, from the first part on.
fn rank((offer, form): &(Offer, Form)) -> (bool, u32, i64, f32, bool) {
    let rate = offer.rate.unwrap_or(RATE);
    // A picture of another shape counts by what is left of it in the wanted one.
    let lines = offer.height.min(offer.width * WANTED.1 / WANTED.0).min(WANTED.1);
    let more = i64::from(offer.width) * i64::from(offer.height);
    (rate >= SMOOTH, lines, -more, rate.min(RATE), *form == Form::Yuyv)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn offer(code: &[u8; 4], width: u32, height: u32, rate: f32) -> Offer {
        Offer { code: *code, width, height, rate: Some(rate) }
    }

    #[test]
    fn each_camera_is_asked_for_what_suits_a_call_best() {
        let usb2 = [
            offer(b"YUYV", 640, 480, 30.0),
            offer(b"YUYV", 1280, 720, 10.0),
            offer(b"YUYV", 1920, 1080, 5.0),
            offer(b"MJPG", 640, 480, 30.0),
            offer(b"MJPG", 1280, 720, 30.0),
            offer(b"MJPG", 1920, 1080, 30.0),
        ];
        let table: [(&str, &[Offer], Option<Offer>); 9] = [
            ("over USB 2 only compressed pictures are smooth at 720 lines", &usb2, Some(usb2[4])),
            ("without compressed ones smoothness goes before lines", &usb2[..3], Some(usb2[0])),
            (
                "uncompressed where that is as smooth",
                &[usb2[4], offer(b"YUYV", 1280, 720, 30.0)],
                Some(offer(b"YUYV", 1280, 720, 30.0)),
            ),
            (
                "the smaller of two that are large enough",
                &[usb2[5], offer(b"MJPG", 1600, 900, 30.0)],
                Some(offer(b"MJPG", 1600, 900, 30.0)),
            ),
            (
                "30 a second is enough, and 15 is taken where there is nothing else",
                &[offer(b"MJPG", 1280, 720, 15.0)],
                Some(offer(b"MJPG", 1280, 720, 15.0)),
            ),
            (
                "lines before pictures beyond 24",
                &[offer(b"MJPG", 1280, 720, 25.0), offer(b"MJPG", 640, 360, 60.0)],
                Some(offer(b"MJPG", 1280, 720, 25.0)),
            ),
            ("larger than a call carries is not taken", &[offer(b"MJPG", 3840, 2160, 30.0), usb2[3]], Some(usb2[3])),
            (
                "what cannot be read is not taken",
                &[offer(b"H264", 1280, 720, 30.0), offer(b"NV12", 640, 480, 30.0)],
                None,
            ),
            ("a camera without an offer", &[], None),
        ];
        for (what, offers, expected) in table {
            assert_eq!(choose(offers).map(|(offer, _)| offer), expected, "{what}");
        }
        let silent = Offer { rate: None, ..usb2[4] };
        assert_eq!(choose(&[silent, usb2[0]]), Some((silent, Form::Jpeg)), "one that says nothing of rates");
    }
}
