//! What is done to the microphone's sound, each on or off.

use std::fmt;
use std::str::FromStr;

/// Which parts of the voice processing are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Switches {
    /// What the loudspeaker plays is taken out of what the microphone hears.
    pub echo: bool,
    /// Steady noise is taken out.
    pub noise: bool,
    /// Speech is brought to one level.
    pub gain: bool,
}

impl Switches {
    pub const ON: Self = Self { echo: true, noise: true, gain: true };
    pub const OFF: Self = Self { echo: false, noise: false, gain: false };
}

/// `on`, `off`, or a list of what is on: `echo,noise,gain`.
impl FromStr for Switches {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => return Ok(Self::ON),
            "off" => return Ok(Self::OFF),
            _ => {}
        }
        let mut switches = Self::OFF;
        for name in text.split(',') {
            match name {
                "echo" => switches.echo = true,
                "noise" => switches.noise = true,
                "gain" => switches.gain = true,
                _ => return Err(format!("{name:?} is not known: say on, off, or a list of echo, noise and gain")),
            }
        }
        Ok(switches)
    }
}

impl fmt::Display for Switches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.echo, "echo"), (self.noise, "noise"), (self.gain, "gain")];
        let on: Vec<&str> = names.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
        match on.len() {
            0 => f.write_str("off"),
            3 => f.write_str("on"),
            _ => f.write_str(&on.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_they_are_written() {
        for text in ["on", "off", "echo", "echo,gain", "noise"] {
            assert_eq!(text.parse::<Switches>().expect("known").to_string(), text);
        }
        assert_eq!("echo,noise,gain".parse(), Ok(Switches::ON));
        assert!("echo,music".parse::<Switches>().is_err_and(|error| error.contains("music")));
    }
}
