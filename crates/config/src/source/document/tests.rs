//! What is shown is of the document in effect.

use serde_json::{Value as Json, json};

use super::*;
use crate::store::Select;

fn written(name: &str) -> Written {
    let id = Uuid::from_u128(1);
    let body = json!({"id": id, "name": name, "created_at": null, "updated_at": 5});
    let rows = vec![("services", body.as_object().cloned().unwrap())];
    Written { text: name.as_bytes().into(), rows }
}

async fn shown(kept: &DbLess) -> Vec<Json> {
    let select = Select { kind: "services".to_owned(), after: None, size: 9, filter: None, tags: None };
    let page = kept.rows().page(&select).await.unwrap();
    page.rows.into_iter().map(|kept| Json::Object(kept.row.body)).collect()
}

#[tokio::test]
async fn text_and_rows_are_of_one_document() {
    let kept = DbLess::default();
    assert_eq!((kept.text(), shown(&kept).await), (None, vec![]));
    kept.show(written("one")).await;
    let rows = shown(&kept).await;
    assert_eq!(kept.text().as_deref(), Some(&b"one"[..]));
    assert_eq!((&rows[0]["name"], &rows[0]["updated_at"]), (&json!("one"), &json!(5)));
    assert!(rows[0]["created_at"].as_i64().is_some_and(|at| at > 1_700_000_000), "{rows:?}");

    kept.show(written("two")).await;
    assert_eq!((kept.text().as_deref(), &shown(&kept).await[0]["name"]), (Some(&b"two"[..]), &json!("two")));
}
