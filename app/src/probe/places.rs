//! Where markers were seen, and how late at each place: a screen may show the same marker several times.

use std::collections::{HashSet, VecDeque};

use engine::base::time::WallTime;
use engine::media::marker::{Found, Marker};
use engine::media::summary::Samples;

/// The markers that were painted last. What shows another one is another card than ours.
#[derive(Debug, Default)]
pub(super) struct Painted(VecDeque<Marker>);

/// At 60 a second 68 seconds: longer than any delay that is worth measuring.
const REMEMBERED: usize = 4096;

impl Painted {
    pub(super) fn push(&mut self, marker: Marker) {
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(marker);
    }

    fn has(&self, marker: Marker) -> bool {
        // Newest first, and each has the number after the one before it.
        let newest = self.0.front().map_or(marker.counter, |newest| newest.counter);
        self.0.get(newest.wrapping_sub(marker.counter) as usize) == Some(&marker)
    }
}

/// A rectangle in the pixels of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Area {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

impl Area {
    fn holds(self, (x, y): (f32, f32)) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }

    fn centre(self) -> (f32, f32) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }
}

/// One place at which markers were seen.
#[derive(Debug)]
pub struct Place {
    /// Of the marker's strip, when it was seen last.
    pub(super) area: Area,
    pub(super) is_own: bool,
    newest: u32,
    /// From painting to when the source had the picture that shows it first, in milliseconds.
    pub(super) delays: Samples,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Pictures that were looked at.
    pub pictures: u64,
    markers: HashSet<u32>,
    places: Vec<Place>,
}

/// More places than a wall has tiles are windows being moved about: further ones are not followed.
const MOST_PLACES: usize = 128;

impl Seen {
    /// Takes in what a picture shows that was captured at `captured`. `own` is where the probe's own window is in it.
    pub(super) fn look(&mut self, found: &[Found], captured: WallTime, painted: &Painted, own: Option<Area>) {
        self.pictures += 1;
        for Found { x, y, width, height, marker } in found {
            if painted.has(*marker) {
                self.markers.insert(marker.counter);
                let area = Area { x: *x, y: *y, width: *width, height: *height };
                let delay = captured.micros_since(marker.drawn) as f64 / 1e3;
                self.take(area, own.is_some_and(|own| own.holds(area.centre())), marker.counter, delay);
            }
        }
    }

    fn take(&mut self, area: Area, is_own: bool, counter: u32, delay: f64) {
        // A hand that holds a camera shakes, and a window may be moved slowly.
        let is_it = |place: &Place| place.is_own == is_own && (is_own || place.area.holds(area.centre()));
        match self.places.iter().position(is_it) {
            Some(known) => {
                let place = &mut self.places[known];
                place.area = area;
                // Each marker counts where it is seen first; one that comes again late is older than the newest.
                if counter.wrapping_sub(place.newest).cast_signed() > 0 {
                    place.newest = counter;
                    place.delays.push(delay);
                }
            }
            None if self.places.len() < MOST_PLACES => {
                let mut delays = Samples::default();
                delays.push(delay);
                self.places.push(Place { area, is_own, newest: counter, delays });
            }
            None => {}
        }
    }

    /// Different markers that were seen, wherever.
    pub fn distinct(&self) -> u64 {
        self.markers.len() as u64
    }

    /// The probe's own window.
    pub fn own(&self) -> Option<&Place> {
        self.places.iter().find(|place| place.is_own)
    }

    /// The other places, the latest first. One with less than a tenth of the markers of another is no place but a window
    /// on its way.
    pub fn others(&self) -> Vec<&Place> {
        let others = || self.places.iter().filter(|place| !place.is_own);
        let most = others().map(|place| place.delays.len()).max().unwrap_or(0);
        let mut places: Vec<(f64, &Place)> = others()
            .filter(|place| place.delays.len() * 10 >= most)
            .filter_map(|place| Some((place.delays.quantile(0.5)?, place)))
            .collect();
        places.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// The most markers that were seen at one place that is not the own window.
    pub fn most(&self) -> u64 {
        self.places.iter().filter(|place| !place.is_own).map(|place| place.delays.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(counter: u32) -> Marker {
        Marker { counter, drawn: WallTime::from_micros(1_000_000 + u64::from(counter) * 20_000) }
    }

    fn found(counter: u32, x: f32) -> Found {
        Found { x, y: 40.0, width: 380.0, height: 60.0, marker: marker(counter) }
    }

    fn painted(count: u32) -> Painted {
        let mut painted = Painted::default();
        (0..count).for_each(|n| painted.push(marker(n)));
        painted
    }

    const OWN: Option<Area> = Some(Area { x: 0.0, y: 0.0, width: 600.0, height: 400.0 });

    #[test]
    fn a_marker_counts_once_at_each_place_when_it_is_seen_first() {
        let (painted, mut seen) = (painted(10), Seen::default());
        for n in 0..20u32 {
            // Each marker is in two pictures; the copy is two markers behind.
            let at = WallTime::from_micros(1_000_000 + u64::from(n) * 10_000 + 5_000);
            let mut shown = vec![found(n / 2, 100.0)];
            shown.extend((n >= 4).then(|| found(n / 2 - 2, 900.0 + n as f32)));
            seen.look(&shown, at, &painted, OWN);
        }
        assert_eq!((seen.pictures, seen.distinct(), seen.most()), (20, 10, 8));
        let own = seen.own().and_then(|own| own.delays.summary()).expect("seen");
        assert_eq!((own.n, own.p50), (10, 5.0));
        let others = seen.others();
        assert_eq!(others.len(), 1, "a place that moves slowly stays one");
        assert_eq!(others[0].delays.summary().map(|delays| (delays.n, delays.max)), Some((8, 45.0)));
    }

    #[test]
    fn the_latest_place_comes_first_and_a_window_on_its_way_is_none() {
        let (painted, mut seen) = (painted(40), Seen::default());
        for n in 10..40u32 {
            let at = WallTime::from_micros(1_000_000 + u64::from(n) * 20_000);
            let mut shown = vec![found(n - 1, 700.0), found(n - 5, 1500.0)];
            shown.extend((n == 20).then(|| found(n - 10, 3000.0)));
            seen.look(&shown, at, &painted, OWN);
        }
        let medians: Vec<_> = seen.others().iter().map(|place| place.delays.quantile(0.5)).collect();
        assert_eq!(medians, [Some(100.0), Some(20.0)]);
        assert!(seen.own().is_none());
    }

    #[test]
    fn another_cards_marker_is_not_ours() {
        let (painted, mut seen) = (painted(5000), Seen::default());
        let at = WallTime::from_micros(200_000_000);
        let foreign = Marker { drawn: WallTime::from_micros(7), ..marker(4000) };
        let shown = [Found { marker: foreign, ..found(0, 0.0) }, found(5001, 0.0), found(3, 0.0)];
        seen.look(&shown, at, &painted, None);
        assert_eq!((seen.distinct(), seen.most()), (0, 0), "foreign, never painted, too old");
        seen.look(&[found(4999, 0.0)], at, &painted, None);
        assert_eq!((seen.distinct(), seen.most()), (1, 1));
    }
}
