//! What the gateway itself says to a client: short, honest, in the form that the client accepts.

use bytes::Bytes;
use grange_api::Problem;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// Forms a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Text,
}

/// The form that an Accept header asks for first; plain text when it asks for none of them.
fn form(fields: &HeaderMap) -> Form {
    let accept = fields.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    for range in accept.split(',') {
        let kind = range.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml") {
            return Form::Html;
        }
        if kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/problem+json") {
            return Form::Json;
        }
        if kind.eq_ignore_ascii_case("text/plain") {
            return Form::Text;
        }
    }
    Form::Text
}

/// A page that says a problem. `request` are the fields of the request it answers.
pub(super) fn page(request: &HeaderMap, problem: &Problem) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let (kind, text) = match form(request) {
        Form::Html => ("text/html; charset=utf-8", html(status, problem)),
        // A problem is plain data with text keys, which serde_json always can write.
        Form::Json => ("application/problem+json", serde_json::to_string(problem).unwrap_or_default() + "\n"),
        Form::Text => ("text/plain; charset=utf-8", plain(status, problem)),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // A service is placed anew within seconds.
        fields.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn title(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"))
}

fn plain(status: StatusCode, problem: &Problem) -> String {
    format!("{}\n{}: {}\n{}\n", title(status), problem.thing, problem.message, problem.remedy)
}

fn html(status: StatusCode, problem: &Problem) -> String {
    let (title, thing) = (title(status), escaped(&problem.thing));
    let (message, remedy) = (escaped(&problem.message), escaped(&problem.remedy));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;\
         color:#222;background:#fdfdfb}}h1{{font-size:1.4rem}}code{{background:#eee;padding:.1em .3em}}\
         @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#1b1b1a}}code{{background:#333}}}}</style></head>\n\
         <body><h1>{title}</h1><p><code>{thing}</code>: {message}.</p><p>{remedy}.</p></body></html>\n"
    )
}

/// Text that cannot be taken for markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_api::ProblemCode;

    #[test]
    fn the_form_is_the_first_that_the_client_accepts() {
        let check = |accept: &'static str, expected: Form| {
            let fields = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(form(&fields), expected, "{accept}");
        };
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Html);
        check("application/json", Form::Json);
        check("application/json, text/html", Form::Json);
        check("*/*", Form::Text);
        check("", Form::Text);
        assert_eq!(form(&HeaderMap::new()), Form::Text);
    }

    #[test]
    fn what_others_wrote_is_never_markup() {
        let problem = Problem::new(ProblemCode::NoReplica, "request", "a", "<script>alert('&\"')</script>");
        let html = html(StatusCode::SERVICE_UNAVAILABLE, &problem);
        assert!(html.contains("&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"), "{html}");
        assert!(!html.contains("<script>"), "{html}");
    }
}
