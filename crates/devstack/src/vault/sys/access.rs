//! Policies and capabilities as endpoints.
//!
//! Owns the wire form only: the policies are in `policy.rs`.

use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::policy::Policy;
use crate::vault::reply::{Outcome, Refusal, Reply};
use serde_json::{Map, Value, json};

/// `sys/policy` names the list twice, and repeats the data at the top.
pub(super) fn list_old(core: &mut Core, _: &Call) -> Outcome {
    let names = core.policies.names();
    Ok(Reply::sys_data(json!({"keys": names, "policies": names})))
}

pub(super) fn list(core: &mut Core, _: &Call) -> Outcome {
    Reply::keys(core.policies.names())
}

/// `sys/policy/<name>` calls the text `rules`.
pub(super) fn read_old(core: &mut Core, call: &Call) -> Outcome {
    described(core, call, "rules").map(Reply::sys_data)
}

pub(super) fn read(core: &mut Core, call: &Call) -> Outcome {
    described(core, call, "policy").map(Reply::data)
}

fn described(core: &Core, call: &Call, text_name: &str) -> Result<Value, Refusal> {
    let name = call.captured("name").to_lowercase();
    let stored = core.policies.get(&name);
    if stored.is_none() && name != "root" {
        return Err(Refusal::not_found());
    }
    let mut data = json!({
        "name": name,
        "version": stored.map_or(0, |policy| policy.version),
        "cas_required": false,
        "allow_wildcards_in_identity_templates": false,
        "allow_slashes_in_identity_templates": false,
    });
    data[text_name] = json!(stored.map_or("", |policy| &policy.text));
    if let Some(Policy { modified, .. }) = stored {
        data["modified"] = json!(modified);
    }
    Ok(data)
}

pub(super) fn write(core: &mut Core, call: &Call) -> Outcome {
    let name = call.captured("name");
    let Some(text) = call.fields().text("policy")?.filter(|text| !text.is_empty()) else {
        return Err(Refusal::bad("'policy' parameter not supplied or empty"));
    };
    if name.eq_ignore_ascii_case("root") {
        return Err(Refusal::bad("cannot update \"root\" policy"));
    }
    core.policies.write(name, &text, &core.clock).map_err(Refusal::bad)?;
    Ok(Reply::Nothing)
}

pub(super) fn delete(core: &mut Core, call: &Call) -> Outcome {
    match call.captured("name").to_lowercase().as_str() {
        "root" => Err(Refusal::bad("cannot delete \"root\" policy")),
        "default" => Err(Refusal::bad("cannot delete default policy")),
        name => {
            core.policies.delete(name);
            Ok(Reply::Nothing)
        }
    }
}

pub(super) fn own_capabilities(core: &mut Core, call: &Call) -> Outcome {
    capabilities(core, call, &call.caller()?.policies)
}

pub(super) fn token_capabilities(core: &mut Core, call: &Call) -> Outcome {
    let id = call.fields().text("token")?.unwrap_or_default();
    let token = core.tokens.get(&id).ok_or_else(|| Refusal::listed(400, "invalid token"))?;
    let policies = token.policies.clone();
    capabilities(core, call, &policies)
}

pub(super) fn accessor_capabilities(core: &mut Core, call: &Call) -> Outcome {
    let accessor = call.fields().text("accessor")?.unwrap_or_default();
    let token = core.tokens.by_accessor(&accessor).ok_or_else(|| Refusal::listed(400, "invalid accessor"))?;
    let policies = token.policies.clone();
    capabilities(core, call, &policies)
}

fn capabilities(core: &Core, call: &Call, policies: &[String]) -> Outcome {
    let acl = core.policies.acl(policies);
    let mut paths = call.fields().texts("paths")?.unwrap_or_default();
    paths.extend(call.fields().texts("path")?.unwrap_or_default());
    if paths.is_empty() {
        return Err(Refusal::bad("paths must be supplied"));
    }
    let mut data: Map<String, Value> =
        paths.iter().map(|path| (path.clone(), json!(acl.names_at(path.trim_start_matches('/'))))).collect();
    if let [only] = &paths[..] {
        data.insert("capabilities".to_owned(), data[only].clone());
    }
    Ok(Reply::sys_data(data.into()))
}
