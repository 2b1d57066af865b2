//! OpenH264's decoder behind the NAL parser. Error concealment stays off: a picture is whole or it is not shown.

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

use crate::media::video::{Colour, Matrix, Picture, Range};
use crate::proto::nal::{SpsInfo, UnitInfo, inspect};

/// Why no picture came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPicture {
    /// The parser refused the unit, or it came while a keyframe is awaited.
    Refused,
    /// The decoder failed: wait for a keyframe and ask for one.
    Broken,
    /// The unit holds no picture, only parameter sets.
    Empty,
}

/// A decoder that begins anew when the size changes, and after an error waits for the next keyframe.
#[derive(Default)]
pub struct H264Decoder {
    decoder: Option<Decoder>,
    sps: Option<SpsInfo>,
}

impl H264Decoder {
    /// Decodes one unit (Annex B). `with` gets the picture, which lies in the decoder's memory until the next call.
    ///
    /// # Errors
    /// See [`NoPicture`]. After `Broken` and `Refused` only a keyframe is taken.
    pub fn decode(&mut self, unit: &[u8], with: impl FnOnce(DecodedPicture<'_>)) -> Result<UnitInfo, NoPicture> {
        let result = self.try_decode(unit, with);
        if matches!(result, Err(NoPicture::Broken | NoPicture::Refused)) {
            // A fresh decoder takes nothing but an IDR with its parameter sets.
            self.decoder = None;
        }
        result
    }

    fn try_decode(&mut self, unit: &[u8], with: impl FnOnce(DecodedPicture<'_>)) -> Result<UnitInfo, NoPicture> {
        let info = inspect(unit).map_err(|_| NoPicture::Refused)?;
        let size = |sps: SpsInfo| (sps.width, sps.height);
        // An out-of-bounds read when the parameter set's size changes is open upstream: a fresh decoder has no old size.
        if info.sps.is_some_and(|new| self.sps.is_none_or(|old| size(old) != size(new))) {
            self.decoder = None;
        }
        self.sps = info.sps.or(self.sps);
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None if !info.is_keyframe => return Err(NoPicture::Refused),
            // Its defaults: concealment off, no threads, everything flushed after each unit.
            None => self.decoder.insert(Decoder::new().map_err(|_| NoPicture::Broken)?),
        };
        let decoded = decoder.decode(unit).map_err(|_| NoPicture::Broken)?;
        match decoded {
            Some(yuv) => {
                with(DecodedPicture { yuv: &yuv, colour: colour(self.sps, yuv.dimensions()) });
                Ok(info)
            }
            None if info.has_slices => Err(NoPicture::Broken),
            None => Err(NoPicture::Empty),
        }
    }
}

/// A picture in the decoder's memory.
pub struct DecodedPicture<'a> {
    yuv: &'a openh264::decoder::DecodedYUV<'a>,
    colour: Colour,
}

impl DecodedPicture<'_> {
    /// Copies the planes into `picture`, which takes their size. This is the one copy between decoder and upload: the decoder
    /// writes only into memory of its own, and goes on referring to it and overwriting it with the next units.
    pub fn copy_to(&self, picture: &mut Picture) {
        let (width, height) = self.yuv.dimensions();
        picture.resize(width as u32, height as u32);
        picture.colour = self.colour;
        let (luma, blue, red) = self.yuv.strides();
        let chroma_width = width.div_ceil(2);
        copy_plane(self.yuv.y(), luma, width, &mut picture.y);
        copy_plane(self.yuv.u(), blue, chroma_width, &mut picture.u);
        copy_plane(self.yuv.v(), red, chroma_width, &mut picture.v);
    }
}

fn copy_plane(from: &[u8], stride: usize, width: usize, to: &mut [u8]) {
    for (line, row) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
        line.copy_from_slice(&row[..width]);
    }
}

/// ITU-T H.264 §E.2.1; where the stream does not say, high definition is taken as BT.709 and the rest as BT.601.
fn colour(sps: Option<SpsInfo>, (_, height): (usize, usize)) -> Colour {
    let matrix = match sps.and_then(|sps| sps.matrix) {
        Some(1) => Matrix::Bt709,
        Some(5 | 6) => Matrix::Bt601,
        _ if height >= 720 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = if sps.is_some_and(|sps| sps.full_range) { Range::Full } else { Range::Limited };
    Colour { matrix, range }
}
