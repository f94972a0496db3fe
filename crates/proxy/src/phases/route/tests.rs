//! What a route does not take.

use postern_model::entity::Protocol;
use postern_model::entity::route::PathHandling;
use postern_plugins::plugin::AnswerBody;
use postern_plugins::view::Request as View;

use super::*;

fn route(https_redirect: u16, grpc: bool) -> Route {
    Route {
        info: Arc::default(),
        plan: Arc::default(),
        service: None,
        strip_path: true,
        path_handling: PathHandling::V0,
        preserve_host: false,
        https_redirect,
        request_buffering: true,
        grpc,
    }
}

#[test]
fn plain_text_where_a_route_wants_tls() {
    // The route's status; what the neighbour says, and whether its word counts; what is answered, and where it leads.
    let cases = [
        (426, None, false, Some((426, None))),
        (301, None, false, Some((301, Some("https://example.com/a?b=1")))),
        (308, None, false, Some((308, Some("https://example.com/a?b=1")))),
        (301, Some("http"), true, Some((301, Some("https://example.com/a?b=1")))),
        (301, Some("https"), true, None),
        (301, Some("HTTPS"), true, None),
        (301, Some("https"), false, Some((301, Some("https://example.com/a?b=1")))),
    ];
    for (status, says, trusted, expected) in cases {
        let mut view = View::for_test().to("/a?b=1");
        if let Some(says) = says {
            view = view.with("x-forwarded-proto", says);
        }
        let found = Match { route: 0, path: None, captures: Default::default(), needs_https: true };
        let got = refuse_protocol(&view, trusted, &route(status, false), &found, Speaks::default());
        let got = got.map(|answer| {
            let location = answer.headers.get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
            let upgrade = answer.headers.get(header::UPGRADE).is_some();
            assert_eq!(upgrade, location.is_none(), "one or the other");
            (answer.status.as_u16(), location)
        });
        let expected = expected.map(|(status, location)| (status, location.map(str::to_owned)));
        assert_eq!(got, expected, "{status} {says:?} {trusted}");
    }
}

#[test]
fn anything_but_grpc_where_a_route_wants_that() {
    let found = Match { route: 0, path: None, captures: Default::default(), needs_https: false };
    for (grpc, speaks, version, expected) in [
        (false, false, Version::HTTP_11, None),
        (true, true, Version::HTTP_2, None),
        (true, false, Version::HTTP_2, Some(415)),
        (true, false, Version::HTTP_11, Some(426)),
    ] {
        let mut view = View::for_test();
        view.client.version = version;
        view.client.scheme = Protocol::Https;
        let speaks = Speaks { grpc: speaks, ..Speaks::default() };
        let got = refuse_protocol(&view, false, &route(426, grpc), &found, speaks);
        assert_eq!(got.as_ref().map(|answer| answer.status.as_u16()), expected, "{grpc} {version:?}");
        if let Some(answer) = got {
            assert!(matches!(answer.body, AnswerBody::Message(_)));
            assert_eq!(answer.headers.contains_key(header::UPGRADE), version == Version::HTTP_11);
        }
    }
}

#[test]
fn an_entity_is_called_by_its_name() {
    let id = Uuid::from_u128(1);
    assert_eq!(named(&Some("a".to_owned()), id), "a");
    assert_eq!(named(&None, id), "00000000-0000-0000-0000-000000000001");
}
