//! Configuration files that are wrong in more ways than text can be: huge, hostile, or no text at all. Each ends soon,
//! within 300 MiB, with a place and a reason. `cases/bad_input.yaml` has the rest.

use std::{fmt::Write as _, fs::File, time::Duration};

use postern_conformance::{Outcome, Postern};

/// For a debug build on a machine that runs other tests at the same time.
const SOON: Duration = Duration::from_secs(20);
const MEBIBYTES: u64 = 300;

const HEAD: &str = "_format_version: \"3.0\"\n";

#[tokio::test]
async fn files_that_are_too_large() {
    // Beside the working directory, which is searched after each run. A sparse file takes no room.
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = directory.path().join("large.yaml");
    File::create(&file).and_then(|file| file.set_len(100 << 20)).expect("a sparse file");
    let file = file.display().to_string();

    let too_large = "large.yaml: the file is too large: 100 MiB, at most 64 MiB";
    let outcome = check(Postern::command(), &file).await;
    assert!(outcome.stdout.contains(too_large), "{outcome}");
    let get = Postern::command().args(["vault", "get", "env/home", "-f", &file]);
    assert!(bounded(get).await.fails_with(1).stderr_has(&[too_large]).stdout.is_empty());
    let conf = Postern::command().args(["vault", "get", "env/home", "-c", &file]);
    bounded(conf).await.fails_with(1).stderr_has(&["large.yaml: it is larger than 4194304 bytes"]);
    let file_vault = Postern::command().env("KONG_VAULT_FS_PREFIX", directory.path());
    let outcome = bounded(file_vault.args(["vault", "get", "{vault://fs/large.yaml}"])).await.fails_with(1);
    outcome.stderr_has(&["\"large.yaml\" is larger than 1048576 bytes"]);
    let jwt = Postern::command()
        .env("KONG_VAULT_HCV_AUTH_METHOD", "jwt")
        .env("KONG_VAULT_HCV_JWT_ROLE", "demo")
        .env("KONG_VAULT_HCV_JWT_FILE", &file);
    let outcome = bounded(jwt.args(["vault", "get", "{vault://hcv/a/b}"])).await.fails_with(1);
    outcome.stderr_has(&["cannot read jwt_file ", "large.yaml: larger than 65536 bytes"]);
    // What has no end is not a file.
    let endless = check(Postern::command(), "/dev/zero").await;
    endless.stderr_has(&["cannot read /dev/zero: it is a device, not a file"]);
}

#[tokio::test]
async fn files_that_unfold() {
    let cases = [
        ("aliases", aliases(9), "more than 4000000 values, with every alias written out"),
        ("more aliases", aliases(300), "more than 4000000 values, with every alias written out"),
        ("merges", merges(), "more than 4000000 values"),
        (
            "deep lists",
            format!("{HEAD}services: {}", "[".repeat(100_000)),
            "values nest deeper than 128 levels",
        ),
        (
            "deep maps",
            format!("{HEAD}services: {}", "{a: ".repeat(100_000)),
            "values nest deeper than 128 levels",
        ),
        ("deep items", "- ".repeat(100_000), "values nest deeper than 128 levels"),
        ("templates", "${{ env \"X\" }}".repeat(50_000), "must be prefixed with 'DECK_'"),
        ("violations", violations(), "more violations are not shown"),
        ("one key", format!("{HEAD}? {}\n: 1", "k".repeat(2_000_000)), "unknown field"),
    ];
    for (what, yaml, reason) in cases {
        let outcome = check(Postern::command().file("kong.yaml", yaml), "kong.yaml").await;
        assert!(outcome.stdout.contains(reason), "{what}: {}", head(&outcome.stdout));
        assert!(outcome.stdout.len() < 1_000_000, "{what}: {} bytes of output", outcome.stdout.len());
        assert_eq!(outcome.stderr, "", "{what}");
    }
}

#[tokio::test]
async fn files_that_are_no_text() {
    let text = |bytes: &[u8]| [HEAD.as_bytes(), bytes].concat();
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("bytes", text(b"services:\n- \xff\xfe\n"), "kong.yaml:3:3: not UTF-8 at byte 35"),
        ("Latin 1", text(b"# gr\xfc\xdfe\n"), "kong.yaml:2:5: not UTF-8 at byte 27"),
        ("NUL", text(b"services: a\0b\n"), "kong.yaml:2:"),
        ("UTF-16", HEAD.encode_utf16().flat_map(u16::to_le_bytes).collect(), "kong.yaml:1:"),
        ("a program", std::fs::read("/bin/sh").expect("a shell")[..10_000].to_vec(), "kong.yaml:1:"),
    ];
    for (what, bytes, place) in cases {
        let outcome = check(Postern::command().file("kong.yaml", bytes), "kong.yaml").await;
        assert!(outcome.stdout.starts_with(place), "{what}: {outcome}");
    }
    let conf = Postern::command().file("kong.conf", b"vaults = bundled\n# gr\xfc\xdfe\n");
    let outcome = bounded(conf.args(["vault", "get", "env/home", "-c", "kong.conf"])).await.fails_with(1);
    outcome.stderr_has(&["kong.conf: it is not UTF-8 (at byte 21)"]);
}

/// A violation may quote what it is about; a terminal must not obey it.
#[tokio::test]
async fn files_that_steer_the_terminal() {
    let yaml = format!("{HEAD}vaults: [{{name: \"\\e[2Jhcv\", prefix: \"a\\r\\e]0;title\\a\"}}]\n");
    let outcome = check(Postern::command().file("kong.yaml", yaml), "kong.yaml").await;
    assert!(!outcome.stdout.chars().any(|c| c.is_control() && c != '\n'), "{:?}", outcome.stdout);
    let reference = Postern::command().args(["vault", "get", "{vault://\u{1b}[2J/a}"]);
    let outcome = bounded(reference).await.fails_with(1);
    assert!(!outcome.stderr.chars().any(|c| c.is_control() && c != '\n'), "{:?}", outcome.stderr);
}

async fn check(postern: Postern, file: &str) -> Outcome {
    bounded(postern.args(["config", "check", file])).await.fails_with(1)
}

async fn bounded(postern: Postern) -> Outcome {
    postern.limit(SOON).memory(MEBIBYTES).run().await
}

fn head(text: &str) -> String {
    text.chars().take(500).collect()
}

/// Each level has the one below nine times.
fn aliases(levels: usize) -> String {
    let mut yaml = format!("{HEAD}services:\n- &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..levels {
        let below = vec![format!("*a{}", level - 1); 9].join(",");
        writeln!(yaml, "- &a{level} [{below}]").expect("a text grows");
    }
    yaml
}

fn merges() -> String {
    let wide: String = (0..3000).map(|n| format!("k{n}: 1, ")).collect();
    format!("a: &a {{{wide}}}\nb:\n{}", "- {<<: *a}\n".repeat(20_000))
}

fn violations() -> String {
    let lines = (0..20_000).map(|n| format!("field_with_quite_a_long_name_{n}: 1\n"));
    lines.collect()
}
