//! The description and the server say the same.

use super::*;

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// The description's path that a request's address belongs to.
fn described(document: &Value, address: &str) -> String {
    let wanted: Vec<&str> = address.split('?').next().unwrap().split('/').collect();
    let fits = |path: &&String| {
        let parts: Vec<&str> = path.split('/').collect();
        parts.len() == wanted.len() && parts.iter().zip(&wanted).all(|(part, wanted)| part.starts_with('{') || part == wanted)
    };
    let paths = document["paths"].as_object().unwrap();
    // What is named comes before what could be anything.
    let found = paths.keys().filter(fits).min_by_key(|path| path.matches('{').count());
    found.unwrap_or_else(|| panic!("{address} is not described")).clone()
}

/// An answer has the form that the description promises.
pub fn check(method: &str, address: &str, status: u16, answer: &Value) {
    let document = document();
    let operation = &document["paths"][described(&document, address)][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {address} is not described");
    let responses = &operation["responses"];
    let response = [&responses[status.to_string()], &responses["default"]].into_iter().find(|response| response.is_object());
    let response = resolve(&document, response.unwrap_or_else(|| panic!("{method} {address}: {status} is not described")));
    let content = response["content"].as_object().unwrap_or_else(|| panic!("{method} {address}: {status} has a body"));
    let schema = &content.values().next().unwrap()["schema"];
    fits(&document, schema, answer, &format!("{method} {address} {status}"));
}

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        None => value,
        Some(link) => document.pointer(link.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{link} leads nowhere")),
    }
}

/// The part of JSON Schema that the description uses. What is not described must not be there.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(document, schema);
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{at}: {value} is none of {choices:?}");
        return;
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        other => panic!("{at}: type {other}"),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&is) || (is == "integer" && types.contains(&"number")), "{at}: {value} is not {types:?}");
    if let Value::Array(items) = value {
        items.iter().for_each(|item| fits(document, &schema["items"], item, &format!("{at}[]")));
    }
    if let (Value::Object(fields), Some(properties)) = (value, schema["properties"].as_object()) {
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(required.as_str().unwrap()), "{at}: {required} is missing");
        }
        for (name, field) in fields {
            let schema = properties.get(name).unwrap_or_else(|| panic!("{at}: {name} is not described"));
            fits(document, schema, field, &format!("{at}.{name}"));
        }
    }
}

#[test]
fn every_address_and_method_is_described() {
    let document = document();
    for (path, allow, _) in table() {
        let described = document["paths"][path].as_object().unwrap_or_else(|| panic!("{path} is not described"));
        let mut methods: Vec<String> = described.keys().filter(|key| *key != "parameters").map(|method| method.to_uppercase()).collect();
        let mut served: Vec<&str> = allow.split(", ").collect();
        methods.sort();
        served.sort_unstable();
        assert_eq!(methods, served, "{path}");
        let parameters: Vec<&Value> =
            [&described.get("parameters"), &None].into_iter().flatten().flat_map(|p| p.as_array().unwrap()).collect();
        let names: Vec<&str> = parameters.iter().map(|p| resolve(&document, p)["name"].as_str().unwrap()).collect();
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            assert!(names.contains(&part), "{path}: the parameter {part} is not described");
        }
    }
}

/// The methods that the router takes are those that the table names.
#[tokio::test]
async fn the_router_takes_what_is_described_and_nothing_else() {
    let server = Server::new();
    for (path, allow, _) in table() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = Request::builder().method(method).uri(path.replace(['{', '}'], "")).body(HttpBody::empty()).unwrap();
            let status = server.signal.api_router().oneshot(request).await.unwrap().status();
            assert_eq!(
                status == StatusCode::METHOD_NOT_ALLOWED,
                !allow.split(", ").any(|allowed| allowed == method),
                "{method} {path}: {status}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    let document = document();
    let mut names = std::collections::BTreeSet::new();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                resolve(&document, value);
                if let Some(name) = fields.get("operationId") {
                    assert!(names.insert(name.as_str().unwrap()), "{name} twice");
                }
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    assert!(names.len() > table().len());
}

#[tokio::test]
async fn the_description_is_served_to_everyone() {
    let server = Server::new();
    let request = Request::get("/api/v1/openapi.json").body(HttpBody::empty()).unwrap();
    let response = server.signal.api_router().oneshot(request).await.unwrap();
    assert_eq!((response.status(), &response.headers()["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["openapi"], "3.1.0");
}
