mod fake;
mod flow;
mod id_tokens;
mod people;
mod sealed;
