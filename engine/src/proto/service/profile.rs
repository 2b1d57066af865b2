//! What somebody says about themselves, and to whom.

use serde::{Deserialize, Serialize};

use crate::proto::signal::body::Name;
use crate::proto::text::{List, Prose, Text};

/// Who sees a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    All,
    Pals,
    /// Also what a newer side may say: rather too few than too many.
    #[default]
    #[serde(other)]
    Nobody,
}

/// A value and who sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field<T> {
    pub value: T,
    #[serde(default)]
    pub seen: Visibility,
}

/// A language, as BCP 47 names it: `en`, `pt-BR`.
pub type Language = Text<16>;

/// The fields of a profile. The display name is seen wherever the account's name is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    pub display: Name,
    pub location: Field<Text<64>>,
    pub languages: Field<List<Language, 8>>,
    pub about: Field<Prose<2000>>,
    /// Who sees the photo; the value names it, and changes with each upload. `GET /photos/VALUE`.
    pub photo: Field<Text<64>>,
}

impl Profile {
    /// The profile without what is not for `viewer`.
    pub fn seen_by(&self, viewer: Viewer) -> Self {
        fn pick<T: Clone + Default>(field: &Field<T>, viewer: Viewer) -> Field<T> {
            if viewer.sees(field.seen) { field.clone() } else { Field::default() }
        }
        Self {
            display: self.display.clone(),
            location: pick(&self.location, viewer),
            languages: pick(&self.languages, viewer),
            about: pick(&self.about, viewer),
            photo: pick(&self.photo, viewer),
        }
    }
}

/// How close somebody is to the one whose profile it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    Anyone,
    Pal,
    Oneself,
}

impl Viewer {
    pub const fn sees(self, seen: Visibility) -> bool {
        match seen {
            Visibility::All => true,
            Visibility::Pals => matches!(self, Self::Pal | Self::Oneself),
            Visibility::Nobody => matches!(self, Self::Oneself),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_shown_to_those_it_is_for() {
        let field = |seen| Field { value: Text::cut("x"), seen };
        let profile =
            Profile { location: field(Visibility::Pals), photo: field(Visibility::Nobody), ..Profile::default() };
        let shown = |viewer| {
            let seen = profile.seen_by(viewer);
            (!seen.location.value.is_empty(), !seen.photo.value.is_empty())
        };
        assert_eq!(shown(Viewer::Anyone), (false, false));
        assert_eq!(shown(Viewer::Pal), (true, false));
        assert_eq!(shown(Viewer::Oneself), (true, true));
    }

    #[test]
    fn an_unknown_visibility_is_nobody() {
        assert_eq!(serde_json::from_str::<Visibility>(r#""friends-of-friends""#).expect("known"), Visibility::Nobody);
    }
}
