//! What vaults and identity providers may answer. Owns: the form of these inputs, and that nothing secret gets into what
//! people are shown. Must not know: how answers are parsed.
//!
//! An input is what a person can read and write: a line with words, an empty line or none, the body.
//!
//! ```text
//! kv2 404 application/json
//! {"errors":[]}
//! ```

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use postern_secrets::Secret;
use postern_secrets::fuzzing::{self, Answer};
use postern_secrets::oauth2::{ClientAuthentication, FieldNames, TokenClient};
use postern_secrets::trail::Trail;
use serde_json::Value;

use crate::CANARY_WORD;

/// What was sent in secret. It has each kind of character that is spelled otherwise somewhere.
const SENT: &str = "hvs.s3nt-t0ken/+=\"\\<&%";

/// The same in a form's encoding.
const SENT_IN_A_FORM: &str = "hvs.s3nt-t0ken%2F%2B%3D%22%5C%3C%26%25";

/// Members that hold what was asked for.
const ASKED_FOR: [&str; 6] = ["data", "auth", "wrap_info", "access_token", "refresh_token", "id_token"];

/// Answers of a vault: to reads, to logins, to an unwrapping.
pub fn vault_reply(data: &[u8]) {
    let Some((words, body)) = input(data) else { return };
    let answer = answer(&words, body);
    let secret = Secret::from(SENT);
    let trail = Trail::recording();
    let (outcome, hint) = match words[0] {
        kv @ ("kv1" | "kv2") => shown(fuzzing::kv(kv == "kv2", &secret, &answer)),
        "unwrap" => shown(fuzzing::unwrapping(&secret, &answer)),
        method => shown(fuzzing::login(method, &secret, &answer, &trail)),
    };
    let said = format!("{outcome}\n{hint}");
    no_secret_of_the_request(&said);
    no_answer(&answer, &said);
    let policies = serde_json::from_slice::<Value>(body).is_ok_and(|json| {
        json.pointer("/auth/token_policies").is_some_and(|list| holds_canary(&list.to_string()))
    });
    if answer.status / 100 == 2 && !policies {
        let facts = format!("{:?}", trail.steps());
        assert!(!facts.contains(CANARY_WORD), "a login's answer in the steps: {facts}");
    }
}

const NAMES: FieldNames = FieldNames {
    endpoint: "token_endpoint",
    client_id: "client_id",
    client_secret: "client_secret",
    audiences: "audiences",
};

/// Answers of an identity provider's token endpoint.
pub fn idp_reply(data: &[u8]) {
    let Some((words, body)) = input(data) else { return };
    let answer = answer(&words, body);
    let endpoint = "https://idp.test/token".parse().expect("it is a URL");
    let client = TokenClient {
        authentication: match words[0] {
            "basic" => ClientAuthentication::Basic,
            _ => ClientAuthentication::Post,
        },
        audiences: vec!["vault".to_owned()],
        ..TokenClient::new(endpoint, Secret::from("client"), Secret::from(SENT))
    };
    let outcome = fuzzing::idp(&client, &answer);
    let hint = outcome.as_ref().err().and_then(|error| error.hint(&NAMES)).unwrap_or_default();
    if let Ok(token) = &outcome {
        assert!(!token.token.expose().is_empty(), "an empty access token");
    }
    let said = format!(
        "{}\n{outcome:?}\n{hint}",
        outcome.as_ref().err().map(ToString::to_string).unwrap_or_default()
    );
    no_secret_of_the_request(&said);
    let pair = STANDARD.encode(format!("client:{SENT_IN_A_FORM}"));
    assert!(
        client.authentication == ClientAuthentication::Post || !said.contains(&pair),
        "the pair is shown: {said}"
    );
    no_answer(&answer, &said);
}

/// The payload of a JWT: claims that roles are not bound to change nothing of what is shown.
pub fn jwt_claims(data: &[u8]) {
    // As it comes: whatever stands in a file or in an answer.
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = fuzzing::claims(&Secret::from(text));
    }
    let jwt = |payload: &[u8]| Secret::from(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)));
    let said = fuzzing::claims(&jwt(data));
    let Ok(Value::Object(claims)) = serde_json::from_slice(data) else {
        assert_eq!(said, None, "claims of what is no object");
        return;
    };
    // Into the text: read and written again, numbers may have other digits.
    let start = data.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
    let comma = if claims.is_empty() { "" } else { "," };
    let private = format!("\"aaa\":\"{CANARY_WORD}\",\"zzz\":[\"{CANARY_WORD}\"]{comma}");
    let more = [&data[..start], private.as_bytes(), &data[start..]].concat();
    assert_eq!(fuzzing::claims(&jwt(&more)), said, "private claims count");
    if let Some(said) = said {
        assert!(said.chars().count() <= 4 * 310, "{} characters", said.chars().count());
        assert!(!said.chars().any(char::is_control), "a control character: {said:?}");
    }
}

/// The words of the first line, at least one, and the body.
fn input(data: &[u8]) -> Option<(Vec<&str>, &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let words: Vec<_> = std::str::from_utf8(&data[..end]).ok()?.split(' ').collect();
    Some((words, data.get(end + 1..).unwrap_or_default()))
}

fn answer<'a>(words: &[&'a str], body: &'a [u8]) -> Answer<'a> {
    let status = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(200);
    Answer {
        status,
        media_type: words.get(2).copied().unwrap_or_default(),
        location: words.get(3).copied().filter(|_| status / 100 == 3),
        body,
    }
}

/// An outcome as it may get into logs and onto screens, and its hint.
fn shown(outcome: Result<Secret, postern_secrets::vault::VaultError>) -> (String, String) {
    let hint = outcome.as_ref().err().and_then(|error| error.hint()).unwrap_or_default();
    (both(&outcome), hint)
}

fn both<E: Debug + ToString>(outcome: &Result<Secret, E>) -> String {
    match outcome {
        Ok(secret) => format!("{secret:?}"),
        Err(error) => format!("{}\n{error:?}", error.to_string()),
    }
}

/// Whatever is answered, what was sent in secret is not shown, in none of the spellings in which it may come back.
fn no_secret_of_the_request(said: &str) {
    let json = Value::from(SENT).to_string();
    let json = &json[1..json.len() - 1];
    for spelling in [SENT, json, SENT_IN_A_FORM] {
        assert!(!said.contains(spelling), "what was sent in secret is shown: {said}");
    }
}

/// What was asked for is not shown, even where the status says that it is not there. Of other answers the text is, which
/// is what an error is for.
fn no_answer(answer: &Answer<'_>, said: &str) {
    if !said.contains(CANARY_WORD) || holds_canary(answer.media_type) {
        return;
    }
    let elsewhere = answer.location.is_some_and(holds_canary);
    assert!(answer.status / 100 != 2, "a successful answer is shown: {said}");
    let Ok(Value::Object(mut members)) = serde_json::from_slice(answer.body) else { return };
    members.retain(|name, _| !ASKED_FOR.contains(&name.as_str()));
    let rest = Value::Object(members).to_string();
    assert!(elsewhere || holds_canary(&rest), "what was asked for is shown: {said}");
}

/// Whether a canary may come out of this text.
fn holds_canary(text: &str) -> bool {
    text.contains(CANARY_WORD)
}
