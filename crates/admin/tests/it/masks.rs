//! No credential is shown, old or new, in lines or JSON.

use postern_admin::client::plan::Goal;
use postern_admin::client::report::{Report, difference, headline};

use crate::mock::{Mock, gateway};
use crate::sync::{FILE, plan, scope, sync};

/// What must not be seen of the file, before and after.
const CANARIES: &[&str] = &[
    "alices-own-key",
    "alices-password",
    "alices-hmac",
    "alices-jwt-secret",
    "SECRETKEY",
    "c2VjcmV0",
    "NEW-",
];

fn shown(plan: &postern_admin::client::plan::Plan) -> String {
    let lines = plan.steps().flat_map(|step| std::iter::once(headline(step)).chain(difference(step)));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let report = Report { done: plan.steps().collect(), ..Report::default() };
    format!("{lines}\n{}", report.json())
}

#[tokio::test]
async fn nothing_of_a_credential_is_shown() {
    let (_, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    let file = FILE.replace("second.example", "'${{ env \"DECK_HOST\" }}'");
    let mut seen = shown(&plan(&gateway, &file, &scope(), Goal::Exactly).await.unwrap());
    sync(&gateway, &file, &scope(), Goal::Exactly).await;
    // Other values, other hosts; and everything away.
    let edited = file
        .replace("alices-hmac", "NEW-hmac")
        .replace("alices-jwt-secret", "'{vault://env/jwt}'")
        .replace("SECRETKEY", "NEW-KEY")
        .replace("c2VjcmV0", "NEW-jwk")
        .replace("x-a:1", "x-a:NEW-header");
    let changes = plan(&gateway, &edited, &scope(), Goal::Exactly).await.unwrap();
    let of_changes = shown(&changes);
    assert!(changes.len() >= 5, "{of_changes}");
    assert!(of_changes.contains("[masked, changed]"), "{of_changes}");
    assert!(of_changes.contains("{vault://env/jwt}"), "references are shown: {of_changes}");
    seen.push_str(&of_changes);
    assert!(!seen.contains("hidden.example"), "{seen}");
    // A file that does not name them tells nothing of what came from an environment; credentials are known without.
    seen.push_str(&shown(&plan(&gateway, "_format_version: '3.0'", &scope(), Goal::Exactly).await.unwrap()));
    for canary in CANARIES {
        assert!(!seen.contains(canary), "{canary} in {seen}");
    }
}

#[tokio::test]
async fn what_is_no_credential_is_shown() {
    let (_, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    let edited = FILE.replace("retries: 3", "retries: 4").replace("minute: 5", "minute: 6");
    let seen = shown(&plan(&gateway, &edited, &scope(), Goal::Exactly).await.unwrap());
    for line in [
        "-  \"retries\": 3,",
        "+  \"retries\": 4,",
        "-    \"minute\": 5,",
        "+    \"minute\": 6,",
        "\"policy\": \"local\"",
    ] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
}

#[tokio::test]
async fn errors_of_debug_hold_no_token() {
    let (_, address) = Mock::start().await;
    assert!(!format!("{:?}", gateway(&address, None)).contains("t0k3n"));
}
