//! What the page needs to know and to have: its plan, and our own test card.

use std::io::Cursor;

use anyhow::{Context, Result};
use engine::base::time::now;
use engine::media::marker;
use engine::media::video::Picture;
use engine::source::testcard::TestCard;
use image::{ImageFormat, RgbImage};
use serde::Serialize;

use super::door::Resource;

/// What the call in the page carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    Picture,
    Sound,
}

#[derive(Debug, Serialize)]
struct Plan<'a> {
    medium: Medium,
    width: u32,
    height: u32,
    /// Pictures a second.
    rate: f32,
    /// How large the received picture is shown: as ours is where the main processor draws.
    shown: (u32, u32),
    codec: &'a str,
    /// Our own bound for video. The browser begins with it as well.
    start_kbps: u32,
    /// How often the page tells what it has seen.
    report_ms: u32,
    /// Where the card is.
    card: String,
    marker: marker::Layout,
    /// The ports of this machine at which each end reaches the other, where it is not to be reached directly.
    path: Option<[u16; 2]>,
}

const PAGE: &str = include_str!("page.html");
const SIZE: (u32, u32) = (1280, 720);

/// The page and the card for it, for a [`super::door::Door`] with this token.
///
/// # Errors
/// The card cannot be made a picture file.
pub fn resources(medium: Medium, path: Option<[u16; 2]>, token: &str) -> Result<Vec<Resource>> {
    let plan = Plan {
        medium,
        width: SIZE.0,
        height: SIZE.1,
        rate: 30.0,
        shown: (320, 180),
        codec: if medium == Medium::Picture { "video/H264" } else { "audio/opus" },
        start_kbps: 2500,
        report_ms: 500,
        card: format!("/{token}/card.png"),
        marker: marker::LAYOUT,
        path,
    };
    let page = PAGE.replace("/*PLAN*/", &serde_json::to_string(&plan)?);
    Ok(vec![
        Resource { path: "", kind: "text/html; charset=utf-8", body: page.into_bytes() },
        Resource { path: "/card.png", kind: "image/png", body: card()? },
    ])
}

/// The card as a PNG file.
fn card() -> Result<Vec<u8>> {
    let drawn = TestCard::new(SIZE.0, SIZE.1, 30.0).draw(now());
    let image = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| image::Rgb(rgb(&drawn.picture, x, y)));
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, ImageFormat::Png).context("the test card as a PNG")?;
    Ok(file.into_inner())
}

/// One pixel of a picture in limited range, by the matrix of ITU-R BT.709.
fn rgb(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let chroma = (y / 2 * picture.chroma_size().0 + x / 2) as usize;
    let luma = 1.1644 * (f32::from(picture.y[(y * picture.width + x) as usize]) - 16.0);
    let (blue, red) = (f32::from(picture.u[chroma]) - 128.0, f32::from(picture.v[chroma]) - 128.0);
    [luma + 1.7927 * red, luma - 0.2132 * blue - 0.5329 * red, luma + 2.1124 * blue].map(|value| value.round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_gets_a_plan_and_the_card_as_it_is() {
        let resources = resources(Medium::Picture, None, "word").expect("made");
        let page = String::from_utf8(resources[0].body.clone()).expect("text");
        assert!(page.contains("const plan = {\"medium\":\"picture\"") && !page.contains("/*PLAN*/"));
        let card = image::load_from_memory(&resources[1].body).expect("a picture").to_rgba8();
        let read = marker::read_rgba(card.as_raw(), SIZE.0 as usize * 4, SIZE.0, SIZE.1);
        assert_eq!(read.map(|marker| marker.counter), Some(0));
    }

    #[test]
    fn black_white_and_red_are_what_they_are() {
        let pixel = |y, u, v| {
            let (y, u, v) = (vec![y; 4], vec![u], vec![v]);
            rgb(&Picture { width: 2, height: 2, y, u, v, ..Default::default() }, 1, 1)
        };
        assert_eq!(pixel(16, 128, 128), [0, 0, 0]);
        assert_eq!(pixel(235, 128, 128), [255, 255, 255]);
        let [red, green, blue] = pixel(63, 102, 240);
        assert!(red > 250 && green < 5 && blue < 5, "{red} {green} {blue}");
    }
}
