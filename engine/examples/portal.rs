//! What a Wayland desktop shares through its portal: `portal [SECONDS]` asks for a screen or a window, and says for so long
//! (5 unless said) how many pictures came and what their middle looks like. Needs the feature `wayland`.

use std::process::ExitCode;

use visavis_engine::base::pipe::Wake;
use visavis_engine::base::time::{Duration, now};
use visavis_engine::source::{SourceSpec, VideoSource};

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    let mut source = match VideoSource::spawn(SourceSpec::Portal { frame_rate: 30.0 }, Wake::none()) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut pictures, mut last, until) = (0u32, None, now() + Duration::from_secs(seconds));
    while now() < until && source.failure().is_none() {
        if let Some(captured) = source.take(now()) {
            let picture = &captured.picture;
            let middle = (picture.height / 2 * picture.width + picture.width / 2) as usize;
            let chroma = (picture.height / 4 * picture.width.div_ceil(2) + picture.width / 4) as usize;
            let at = |plane: &[u8], index: usize| plane.get(index).copied().unwrap_or_default();
            let colour = (at(&picture.y, middle), at(&picture.u, chroma), at(&picture.v, chroma));
            pictures += 1;
            if last.replace(colour) != Some(colour) {
                println!("{}×{}, the middle is {colour:?} (Y, U, V)", picture.width, picture.height);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{pictures} pictures in {seconds} s");
    if let Some(error) = source.failure() {
        println!("{error}");
    }
    if pictures > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
