use openh264::encoder::Encoder;
use openh264::formats::YUVSlices;

use super::{Sample, Shifts, list_shifts, show_in_order};
use crate::base::error::Kind;
use crate::base::time::{WallTime, now};
use crate::media::marker::{self, Marker};
use crate::media::video::Picture;
use crate::proto::nal::{TYPE_PPS, TYPE_SPS, nal_type, split};
use crate::source::file::FileSource;

const SIZE: (u32, u32) = (320, 180);

fn whole_box(name: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let mut bytes = (content.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(content);
    bytes
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// Pictures with markers 0, 1, 2…, coded: their parameter sets, and each one's NAL units with lengths in front.
fn coded(count: u32) -> ([Vec<u8>; 2], Vec<Vec<u8>>) {
    let mut encoder = Encoder::new().expect("an encoder");
    let (mut sets, mut samples) = ([Vec::new(), Vec::new()], Vec::new());
    for counter in 0..count {
        let mut picture = Picture::new(SIZE.0, SIZE.1);
        marker::paint(&mut picture, Marker { counter, drawn: WallTime::from_micros(1) });
        let yuv = YUVSlices::new((&picture.y, &picture.u, &picture.v), (320, 180), (320, 160, 160));
        let unit = encoder.encode(&yuv).expect("encodes").to_vec();
        let mut sample = Vec::new();
        for nal in split(&unit) {
            match nal_type(nal) {
                Some(TYPE_SPS) => sets[0] = nal.to_vec(),
                Some(TYPE_PPS) => sets[1] = nal.to_vec(),
                _ => {
                    sample.extend((nal.len() as u32).to_be_bytes());
                    sample.extend(nal);
                }
            }
        }
        samples.push(sample);
    }
    (sets, samples)
}

/// A movie box with the given codec, whose samples begin at `at`, or lie in fragments.
fn movie(codec: &[u8; 4], sets: &[Vec<u8>; 2], samples: &[Vec<u8>], at: u32, tail: &[u8]) -> Vec<u8> {
    let set = |set: &[u8]| [&(set.len() as u16).to_be_bytes()[..], set].concat();
    let avcc = whole_box(b"avcC", &[&[1, 66, 0xc0, 30, 0xff, 0xe1], &set(&sets[0]), &[1], &set(&sets[1])]);
    let (width, height) = ((SIZE.0 as u16).to_be_bytes(), (SIZE.1 as u16).to_be_bytes());
    let place =
        [&[0; 6][..], &[0, 1], &[0; 16], &width, &height, &numbers(&[0x48_0000, 0x48_0000, 0]), &[0, 1], &[0; 32]];
    let entry = whole_box(codec, &[&place.concat(), &[0, 24, 0xff, 0xff], &avcc]);
    let count = samples.len() as u32;
    let sizes: Vec<u32> = samples.iter().map(|sample| sample.len() as u32).collect();
    let tables = [
        whole_box(b"stsd", &[&numbers(&[0, 1]), &entry]),
        whole_box(b"stts", &[&numbers(&[0, 1, count, 40])]),
        whole_box(b"stsc", &[&numbers(&[0, 1, 1, count.max(1), 1])]),
        whole_box(b"stsz", &[&numbers(&[0, 0, count]), &numbers(&sizes)]),
        whole_box(b"stco", &[&numbers(&[0, u32::from(count > 0)]), &numbers(&[at])[..if count > 0 { 4 } else { 0 }]]),
    ];
    let media = [
        whole_box(b"mdhd", &[&numbers(&[0, 0, 0, 1000, count * 40, 0x55c4_0000])]),
        whole_box(b"hdlr", &[&numbers(&[0, 0]), b"vide", &[0; 13]]),
        whole_box(
            b"minf",
            &[
                &whole_box(
                    b"dinf",
                    &[&whole_box(b"dref", &[&numbers(&[0, 1]), &whole_box(b"url ", &[&numbers(&[1])])])],
                ),
                &whole_box(b"stbl", &[&tables.concat()]),
            ],
        ),
    ];
    let matrix = numbers(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]);
    let head = whole_box(
        b"mvhd",
        &[&numbers(&[0, 0, 0, 1000, count * 40, 0x1_0000, 0x100_0000, 0, 0]), &matrix, &[0; 24], &numbers(&[2])],
    );
    let track = whole_box(
        b"tkhd",
        &[&numbers(&[3, 0, 0, 1, 0, count * 40, 0, 0, 0, 0]), &matrix, &numbers(&[320 << 16, 180 << 16])],
    );
    whole_box(b"moov", &[&head, &whole_box(b"trak", &[&track, &whole_box(b"mdia", &[&media.concat()])]), tail])
}

/// A file of three pictures at 25 a second, its index in front.
fn file(codec: &[u8; 4]) -> Vec<u8> {
    let (sets, samples) = coded(3);
    let kind = whole_box(b"ftyp", &[b"isom", &[0; 4], b"avc1"]);
    let index = movie(codec, &sets, &samples, 0, &[]).len() + kind.len() + 8;
    let index = movie(codec, &sets, &samples, index as u32, &[]);
    [kind, index, whole_box(b"mdat", &[&samples.concat()])].concat()
}

/// The same in two fragments.
fn fragments() -> Vec<u8> {
    fragments_lasting([40; 3])
}

/// Whose pictures last so many milliseconds.
fn fragments_lasting(times: [u32; 3]) -> Vec<u8> {
    let (sets, samples) = coded(3);
    let usual = whole_box(b"mvex", &[&whole_box(b"trex", &[&numbers(&[0, 1, 1, 40, 0, 0])])]);
    let mut bytes = [whole_box(b"ftyp", &[b"isom", &[0; 4]]), movie(b"avc1", &sets, &[], 0, &usual)].concat();
    for (part, times) in [(&samples[..2], &times[..2]), (&samples[2..], &times[2..])] {
        let fragment = |offset: u32| {
            let sizes: Vec<u32> =
                times.iter().zip(part).flat_map(|(time, sample)| [*time, sample.len() as u32]).collect();
            let run = whole_box(b"trun", &[&numbers(&[0x301, part.len() as u32, offset]), &numbers(&sizes)]);
            let head = whole_box(b"tfhd", &[&numbers(&[0x2_0000, 1])]);
            whole_box(b"moof", &[&whole_box(b"mfhd", &[&numbers(&[0, 1])]), &whole_box(b"traf", &[&head, &run])])
        };
        bytes.extend(fragment(fragment(0).len() as u32 + 8));
        bytes.extend(whole_box(b"mdat", &[&part.concat()]));
    }
    bytes
}

fn open(bytes: &[u8]) -> crate::base::error::Result<FileSource> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mp4");
    std::fs::write(&path, bytes).expect("writes");
    FileSource::open(&path)
}

#[test]
fn a_file_plays_over_and_over_with_its_index_in_front_or_in_fragments() {
    for bytes in [file(b"avc1"), fragments()] {
        let mut source = open(&bytes).expect("an MP4 file");
        assert_eq!((source.size(), source.frame_rate()), (SIZE, 25.0));
        let counters: Vec<Option<u32>> = (0..5)
            .map(|_| source.next(now()).expect("a picture").picture)
            .map(|picture| marker::read(&picture.y, 320, 320, 180).map(|marker| marker.counter))
            .collect();
        assert_eq!(counters, [0, 1, 2, 0, 1].map(Some));
    }
}

#[test]
fn each_picture_is_shown_as_long_as_the_file_says() {
    let mut source = open(&fragments_lasting([40, 1000, 20])).expect("an MP4 file");
    let mut steps = || {
        source.next(now()).expect("a picture");
        source.step().map(|step| step.as_millis())
    };
    assert_eq!([(); 5].map(|()| steps()), [40, 1000, 20, 40, 1000].map(Some));
    // What claims to stand still for a day is waited for ten seconds, and what claims no time at all has the mean's.
    let mut source = open(&fragments_lasting([86_400_000, 0, 40])).expect("an MP4 file");
    let mut steps = || {
        source.next(now()).expect("a picture");
        source.step().map(|step| step.as_millis())
    };
    assert_eq!([(); 3].map(|()| steps()), [Some(10_000), None, Some(40)]);
}

#[test]
fn pictures_coded_in_another_order_are_shown_in_theirs() {
    let durations = |samples: &[Sample]| samples.iter().map(|sample| sample.duration).collect::<Vec<_>>();
    let samples = |times: &[u32]| times.iter().map(|time| Sample { duration: *time, ..Default::default() }).collect();
    let mut all: Vec<Sample> = samples(&[40, 40, 40, 100]);
    // I P B B: the P is shown after both, the last B last but one.
    show_in_order(&mut all, &[40, 120, 0, 0]);
    // Shown at 40, 80, 120 and 160; the last one until 220.
    assert_eq!(durations(&all), [40, 40, 40, 60]);
    let mut same: Vec<Sample> = samples(&[10, 20, 30]);
    show_in_order(&mut same, &[]);
    show_in_order(&mut same, &[80, 80, 80]);
    assert_eq!(durations(&same), [10, 20, 30]);
    let mut shifts = Shifts::new();
    let table = numbers(&[0, 2, 2, 40, 1, 0]);
    assert_eq!((list_shifts(&table, 3, &mut shifts), &shifts[..]), (Some(()), &[40, 40, 0][..]));
    assert_eq!(list_shifts(&table, 5, &mut shifts), None, "more than there are samples");
}

#[test]
fn what_cannot_be_played_is_said_in_one_line() {
    let whole = file(b"avc1");
    let index = whole.windows(4).position(|name| name == b"moov").expect("an index");
    for (bytes, text) in [
        (whole[..whole.len() - 1].to_vec(), "is cut off: it ends before its pictures do"),
        (whole[..index + 100].to_vec(), "is cut off"),
        (whole[..index - 4].to_vec(), "has no index"),
        (file(b"hvc1"), "H.264"),
        (file(b"abcd"), "holds no H.264 video"),
        (movie(b"avc1", &coded(1).0, &[], 0, &[]), "holds no picture"),
    ] {
        let error = open(&bytes).expect_err(text);
        assert!(error.text.contains(text) && !error.text.contains('\n'), "{text}: {error}");
        assert_eq!(error.kind, Kind::Malformed);
    }
}

#[test]
fn a_damaged_file_ends_in_a_line_or_plays_what_can_be_played() {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut refused, mut played) = (0, 0);
    for whole in [file(b"avc1"), fragments()] {
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len().min(900));
                bytes[at] = if random.bool() { random.u8(..) } else { 0xff };
            }
            match open(&bytes) {
                Err(error) => {
                    assert!(!error.text.contains('\n'), "{error}");
                    refused += 1;
                }
                Ok(mut source) => {
                    // It may still break off.
                    (0..4).take_while(|_| source.next(now()).is_ok()).count();
                    played += 1;
                }
            }
        }
    }
    assert!(refused > 20 && played > 20, "{refused} refused, {played} played");
}
