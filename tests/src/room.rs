//! A room with parallel walls, by image sources (J. B. Allen and D. A. Berkley, "Image method for efficiently simulating
//! small-room acoustics", 1979).

/// 48 kHz.
const RATE: f64 = 48_000.0;
/// Metres a second.
const SOUND: f64 = 343.0;

/// Metres: a small office, and a loudspeaker and a microphone on its desk.
const SIZE: [f64; 3] = [4.0, 5.0, 2.7];
const LOUDSPEAKER: [f64; 3] = [2.0, 2.5, 0.8];
const MICROPHONE: [f64; 3] = [2.3, 2.2, 0.9];

/// What the microphone hears of one sample of the loudspeaker, for as long as the room takes to be 60 dB down: `seconds`.
pub fn response(seconds: f64) -> Vec<f32> {
    let volume = SIZE.iter().product::<f64>();
    let walls = 2.0 * (SIZE[0] * SIZE[1] + SIZE[0] * SIZE[2] + SIZE[1] * SIZE[2]);
    // Eyring's formula, the other way round: what a wall sends back.
    let reflection = (-0.161 * volume / (walls * seconds)).exp().sqrt();
    let mut response = vec![0.0; (seconds * RATE) as usize];
    let most = |axis: usize| (seconds * SOUND / SIZE[axis] / 2.0).ceil() as i32;
    for x in -most(0)..=most(0) {
        for y in -most(1)..=most(1) {
            for z in -most(2)..=most(2) {
                (0..8).for_each(|mirror| add([x, y, z], mirror, reflection, &mut response));
            }
        }
    }
    response
}

/// Adds one image of the loudspeaker.
fn add(cell: [i32; 3], mirror: i32, reflection: f64, response: &mut [f32]) {
    let (mut squared, mut walls) = (0.0, 0);
    for axis in 0..3 {
        let mirrored = mirror >> axis & 1;
        let own = f64::from(1 - 2 * mirrored) * LOUDSPEAKER[axis];
        squared += (own + 2.0 * f64::from(cell[axis]) * SIZE[axis] - MICROPHONE[axis]).powi(2);
        walls += (cell[axis] - mirrored).abs() + cell[axis].abs();
    }
    let distance = squared.sqrt();
    let place = distance / SOUND * RATE;
    let strength = reflection.powi(walls) / distance;
    if let Some([first, second]) = response.get_mut(place as usize..).and_then(<[f32]>::first_chunk_mut) {
        *first += (strength * (1.0 - place.fract())) as f32;
        *second += (strength * place.fract()) as f32;
    }
}

/// `sound` as it is heard through `response`.
pub fn heard(sound: &[f32], response: &[f32]) -> Vec<f32> {
    let mut heard = vec![0.0; sound.len()];
    for (late, strength) in response.iter().enumerate().filter(|(_, strength)| **strength != 0.0) {
        let later = heard.get_mut(late..).unwrap_or_default();
        later.iter_mut().zip(sound).for_each(|(heard, sample)| *heard += strength * sample);
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sound_is_the_straight_one_and_the_room_dies_away_in_its_time() {
        let response = response(0.2);
        let straight = (0.3f64.powi(2) * 2.0 + 0.1f64.powi(2)).sqrt() / SOUND * RATE;
        let first = response.iter().position(|x| *x != 0.0).expect("something");
        assert_eq!(first, straight as usize);
        let energy = |from: f64, to: f64| {
            let part = &response[(from * RATE) as usize..(to * RATE) as usize];
            part.iter().map(|x| f64::from(x * x)).sum::<f64>()
        };
        // 60 dB in 200 ms are 30 in 100.
        let fall = 10.0 * (energy(0.05, 0.07) / energy(0.15, 0.17)).log10();
        assert!((20.0..40.0).contains(&fall), "{fall} dB");
    }

    #[test]
    fn sound_is_heard_once_for_each_part_of_the_response() {
        assert_eq!(heard(&[1.0, 2.0, 0.0, 0.0], &[0.0, 0.5, 0.25]), [0.0, 0.5, 1.25, 0.5]);
    }
}
