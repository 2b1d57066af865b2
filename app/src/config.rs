//! `--config FILE`: every flag of `visavis serve` as a line of TOML. What is said on the command line goes before it.

use std::ffi::OsString;
use std::path::Path;

use engine::base::error::{Error, Kind};
use toml::{Table, Value};

/// The arguments with those of the file that `serve --config` names put before them.
///
/// # Errors
/// [`Kind::Malformed`]: the file cannot be read, or is no such file.
pub fn with_file(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    let Some(verb) = arguments.iter().position(|argument| argument == "serve") else { return Ok(arguments) };
    let Some(file) = named(&arguments[verb..]) else { return Ok(arguments) };
    let malformed = |what: String| Error::new(Kind::Malformed, format!("{}: {what}", Path::new(&file).display()));
    let text = std::fs::read_to_string(&file).map_err(|error| malformed(error.to_string()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| malformed(error.message().to_owned()))?;
    let flags = flags(&table).map_err(malformed)?;
    arguments.splice(verb + 1..verb + 1, flags.into_iter().map(OsString::from));
    Ok(arguments)
}

fn named(arguments: &[OsString]) -> Option<OsString> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().cloned();
        }
        if let Some(file) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(file.into());
        }
    }
    None
}

/// `tls-port = 8443` is `--tls-port 8443`, `json = true` is `--json`; lists are joined by commas.
fn flags(table: &Table) -> Result<Vec<String>, String> {
    let mut flags = Vec::new();
    for (key, value) in table {
        let plain = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            _ => Err(format!("{key}: say a text, a number, true, false or a list of texts and numbers")),
        };
        match value {
            Value::Boolean(true) => flags.push(format!("--{key}")),
            Value::Boolean(false) => {}
            Value::Array(values) => {
                let values = values.iter().map(plain).collect::<Result<Vec<_>, _>>()?;
                flags.push(format!("--{key}={}", values.join(",")));
            }
            value => flags.push(format!("--{key}={}", plain(value)?)),
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_flags_and_the_command_line_goes_before_it() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("service.toml");
        std::fs::write(&file, "tls-port = 8443\njson = true\ndoors = [\"2010-2012\", 9800]\nheadless = false\n")
            .expect("written");
        let line = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let given = line(&format!("visavis serve --config {} --tls-port 9000", file.display()));
        let whole = with_file(given).expect("read");
        let text: Vec<&str> = whole.iter().filter_map(|argument| argument.to_str()).collect();
        assert_eq!(text[..2], ["visavis", "serve"]);
        assert!(
            text.contains(&"--tls-port=8443") && text.contains(&"--doors=2010-2012,9800") && text.contains(&"--json")
        );
        assert!(!text.contains(&"--headless"));
        assert_eq!(text[text.len() - 2..], ["--tls-port", "9000"]);
        assert_eq!(with_file(line("visavis call --config x")).expect("untouched"), line("visavis call --config x"));
    }

    #[test]
    fn what_is_no_such_file_is_wrong_use() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("service.toml");
        for text in ["doors = ", "doors = { a = 1 }", "ratio = 1.5"] {
            std::fs::write(&file, text).expect("written");
            let given = ["visavis", "serve", &format!("--config={}", file.display())].map(OsString::from).to_vec();
            assert_eq!(with_file(given).expect_err(text).kind, Kind::Malformed);
        }
        let missing = ["visavis", "serve", "--config", "/nonexistent.toml"].map(OsString::from).to_vec();
        assert_eq!(with_file(missing).expect_err("missing").kind, Kind::Malformed);
    }
}
