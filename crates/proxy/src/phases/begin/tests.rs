//! Heads that are answered at once.

use super::*;

fn parts(version: Version, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/").version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn which_heads_are_answered_at_once() {
    let host = ("host", "a");
    let (one, two) = (Version::HTTP_11, Version::HTTP_2);
    // Version, headers, what is known of the body's length, the limit; the status, and whether the connection ends.
    let cases = [
        (one, vec![host], 0, 0, None),
        (one, vec![host], u64::MAX, 0, None),
        (one, vec![host], 10, 10, None),
        (one, vec![host], 11, 10, Some((413, false))),
        (two, vec![host], 11, 10, Some((413, false))),
        (one, vec![host, host], 0, 0, Some((400, true))),
        (one, vec![host, ("transfer-encoding", "gzip, chunked")], 0, 0, Some((400, true))),
        (two, vec![host, host], 0, 0, Some((400, false))),
        (one, vec![host, host], 11, 10, Some((400, true))),
    ];
    for (version, headers, length, limit, expected) in cases {
        let (_, refused) = check(&mut parts(version, &headers), length, limit);
        let got = refused.map(|answer| {
            let ends = answer.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
            (answer.status.as_u16(), ends)
        });
        assert_eq!(got, expected, "{version:?} {headers:?} {length} {limit}");
    }
}
