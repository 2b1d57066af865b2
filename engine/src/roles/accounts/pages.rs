//! Pages that a browser opens. No scripts, nothing from elsewhere.

use crate::net::web::connection::Response;
use crate::proto::service::names::Person;
use crate::proto::service::profile::Profile;

pub fn front() -> Response {
    page(
        "Visavis",
        "<h1>Visavis</h1><p>This is a Visavis service: people who use it find each other, write and call.</p>\
         <p>If somebody gave you a link to this page, start Visavis with it:</p>\
         <pre>visavis account register --service LINK</pre>",
    )
}

/// A profile, of which `profile` holds only what the viewer may see.
pub fn profile(person: &Person, profile: &Profile) -> Response {
    let name = if person.display.is_empty() { person.name.to_string() } else { person.display.to_string() };
    let mut body = format!("<h1>{}</h1><p class=\"name\">{}</p>", escape(&name), escape(&person.name));
    if !profile.photo.value.is_empty() {
        body.push_str(&format!("<img src=\"/photos/{}\" alt=\"\">", escape(&profile.photo.value)));
    }
    let mut row = |title: &str, value: &str| {
        if !value.is_empty() {
            body.push_str(&format!("<h2>{title}</h2><p>{}</p>", escape(value).replace('\n', "<br>")));
        }
    };
    row("Location", &profile.location.value);
    let languages: Vec<&str> = profile.languages.value.iter().map(|language| &**language).collect();
    row("Languages", &languages.join(", "));
    row("About", &profile.about.value);
    page(&name, &body)
}

fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:40rem;margin:3rem auto;padding:0 1rem;background:#14171c;color:#e8eaed}}h2{{font-size:.9rem;\
         color:#9aa4b2;margin-bottom:0}}p{{margin-top:.2rem}}.name{{color:#9aa4b2}}img{{width:12rem;border-radius:1rem}}\
         pre{{background:#0c0e11;padding:1rem;overflow:auto}}</style></head><body>{body}</body></html>\n",
        escape(title)
    );
    let policy = "Content-Security-Policy: default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; \
                  frame-ancestors 'none'; form-action 'none'; base-uri 'none'";
    Response {
        content_type: "text/html; charset=utf-8",
        headers: vec![policy.to_owned()],
        ..Response::json(200, html.into_bytes())
    }
}

/// HTML's five (HTML Living Standard §13.3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::keys::PublicKey;
    use crate::proto::service::names::AccountName;
    use crate::proto::signal::body::Name;
    use crate::proto::text::Prose;

    #[test]
    fn what_a_person_writes_is_text_on_their_page() {
        let person = Person {
            name: AccountName::new("ada").expect("a name"),
            key: PublicKey([0; 32]),
            display: Name::cut("<b onload='x'>\"&"),
        };
        let mut shown = Profile::default();
        shown.about.value = Prose::cut("<script>alert(1)</script>\nsecond");
        let body = String::from_utf8(profile(&person, &shown).body).expect("text");
        assert!(!body.contains("<script") && !body.contains("<b ") && body.contains("&lt;script&gt;"));
        assert!(body.contains("<br>second"));
        assert!(!body.contains("/photos/"));
    }
}
