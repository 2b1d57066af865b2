//! What a person chose in the window, beside the identity. Read at the start, written on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, PipeSender, pipe};
use crate::proto::proxy::choice::ProxySetting;
use crate::store::file::{self, Existing};

/// The choices of one data folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// By name; `None`: the system's default.
    #[serde(default)]
    pub microphone: Option<String>,
    #[serde(default)]
    pub speaker: Option<String>,
    /// Through which everything is dialled.
    #[serde(default)]
    pub proxy: ProxySetting,
    /// Not announced to people on the same network.
    #[serde(default)]
    pub hidden: bool,
    /// Seen by nobody, also after the next start.
    #[serde(default)]
    pub appear_offline: bool,
    /// The first of our ports, unless the command line says another.
    #[serde(default)]
    pub base_port: Option<u16>,
    /// Of a newer version of the program: kept as they are.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Choices {
    /// What was chosen before; nothing where there is no file. A broken file is replaced by one without choices, and the
    /// text says so: a choice is made again in a moment, unlike an identity.
    pub fn load(data_dir: &Path) -> (Self, Option<Error>) {
        let path = data_dir.join(FILE);
        let read = file::read(&path).and_then(|bytes| match bytes {
            None => Ok(Self::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let text = format!("the settings in {} are damaged ({error}): they begin anew", path.display());
                Error::new(Kind::Malformed, text)
            }),
        });
        match read {
            Ok(choices) => (choices, None),
            Err(error) => {
                let replaced = if error.kind == Kind::Malformed { Self::default().save(&path) } else { Ok(()) };
                (Self::default(), Some(replaced.err().unwrap_or(error)))
            }
        }
    }

    fn save(&self, path: &Path) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(Kind::Malformed, format!("the settings cannot be written: {error}")))?;
        file::write(path, &bytes, Existing::Replace).map(|_| ())
    }
}

/// Writes choices without making anybody wait for the disk. Dropping it waits for the last of them.
#[derive(Debug)]
pub struct SettingsWriter {
    newest: Arc<Latest<Choices>>,
    failure: Arc<Latest<Error>>,
    bell: Option<PipeSender<()>>,
    writer: Option<JoinHandle<()>>,
}

impl SettingsWriter {
    /// A writer for the file in `data_dir`.
    ///
    /// Errors: `Retry` where no thread can be started.
    pub fn start(data_dir: &Path) -> Result<Self> {
        let path: PathBuf = data_dir.join(FILE);
        let (newest, failure) = (Arc::new(Latest::<Choices>::default()), Arc::new(Latest::default()));
        let (bell, rung) = pipe(1);
        let (slot, failed) = (newest.clone(), failure.clone());
        let write = move || {
            while rung.recv().is_some() {
                if let Some(error) = slot.take().and_then(|choices| choices.save(&path).err()) {
                    failed.put(error);
                }
            }
        };
        let writer = std::thread::Builder::new().name("settings".into()).spawn(write);
        let writer =
            writer.map_err(|error| Error::new(Kind::Retry, format!("the settings cannot be kept: {error}")))?;
        Ok(Self { newest, failure, bell: Some(bell), writer: Some(writer) })
    }

    /// Has them written; older ones that were not written yet are not any more.
    pub fn keep(&self, choices: Choices) {
        self.newest.put(choices);
        // A full bell has been rung already.
        let _ = self.bell.as_ref().map(|bell| bell.try_send(()));
    }

    /// Why the last ones could not be written.
    pub fn failure(&self) -> Option<Error> {
        self.failure.take()
    }
}

impl Drop for SettingsWriter {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

const FILE: &str = "settings.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("folder")
    }

    #[test]
    fn choices_are_there_at_the_next_start_and_so_is_the_default() {
        let folder = folder();
        assert_eq!(Choices::load(folder.path()).0, Choices::default());
        for microphone in [Some("Headset".to_owned()), None] {
            let writer = SettingsWriter::start(folder.path()).expect("a thread");
            for speaker in ["one", "two", "three"] {
                writer.keep(Choices {
                    microphone: microphone.clone(),
                    speaker: Some(speaker.into()),
                    ..Default::default()
                });
            }
            drop(writer);
            let (choices, said) = Choices::load(folder.path());
            assert_eq!((choices.microphone, choices.speaker.as_deref()), (microphone, Some("three")));
            assert!(said.is_none(), "{said:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_broken_file_is_said_and_replaced() {
        let folder = folder();
        let path = folder.path().join(FILE);
        for broken in ["", "{\"microphone\":", "{\"microphone\": 7}", "\u{0}\u{0}"] {
            std::fs::write(&path, broken).expect("written");
            let (choices, said) = Choices::load(folder.path());
            assert_eq!(choices, Choices::default());
            let said = said.expect("said");
            assert!(said.text.contains(FILE) && said.text.contains("begin anew"), "{said}");
            assert!(Choices::load(folder.path()).1.is_none(), "replaced");
        }
    }

    #[test]
    fn what_a_newer_version_keeps_there_stays() {
        let folder = folder();
        let path = folder.path().join(FILE);
        std::fs::write(&path, r#"{"microphone": "Desk", "hat": {"size": 57}}"#).expect("written");
        let (mut choices, said) = Choices::load(folder.path());
        assert!(said.is_none());
        choices.microphone = None;
        SettingsWriter::start(folder.path()).expect("a thread").keep(choices);
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.contains("\"hat\"") && text.contains("57") && !text.contains("Desk"), "{text}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said() {
        let folder = folder();
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let writer = SettingsWriter::start(&file).expect("a thread");
        writer.keep(Choices::default());
        let failure = writer.failure.clone();
        drop(writer);
        assert!(failure.take().is_some_and(|error| error.kind == Kind::Refused));
    }
}
