//! The rows. "9725 4.2" is a section of RFC 9725, "whep 4.2" one of the draft.

use super::*;

/// So that none gets lost unseen.
pub(super) const EXPECTED_ROWS_MIN: usize = 130;

fn row(section: &'static str, demand: &'static str, requests: Vec<Ask>, expected: Expect) -> Row {
    Row { section, demand, live_only: false, requests, expected }
}

pub(super) fn rows() -> Vec<Row> {
    [usage(), set_up(), counter_offers(), patches(), trickle(), restarts(), the_end(), constraints(), servers_and_tokens()]
        .into_iter()
        .flatten()
        .collect()
}

fn usage() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in ["/whip/r", "/whep/r", "/whep/r/cam", "{whip}", "{whep}"] {
        for method in ["GET", "HEAD"] {
            let demand = "a GET is answered with success and without content";
            rows.push(row("9725 4.1, whep 4.1", demand, vec![Ask::new(method, path).without_token()], expect(&[204]).empty()));
        }
    }
    rows.push(row("9725 4.1", "errors may be problem documents", vec![post("/whip/r", "hello")], expect(&[400]).body("\"detail\":")));
    let options = |path| vec![Ask::new("OPTIONS", path).without_token()];
    for path in ["/whip/r", "/whep/r", "/whep/r/cam"] {
        let taken = expect(&[200]).header("accept-post", SDP).header("access-control-allow-origin", "*");
        rows.push(row("9725 4.2, whep 4.3", "endpoints answer OPTIONS for CORS with what they take", options(path), taken));
        for header in ["Authorization", "Content-Type", "If-Match"] {
            let allowed = expect(&[200]).header("access-control-allow-headers", header);
            rows.push(row("9725 4.2, whep 4.3", "pages of other origins may send what the protocol needs", options(path), allowed));
        }
    }
    for header in ["Location", "ETag", "Link"] {
        let exposed = expect(&[201]).header("access-control-expose-headers", header);
        rows.push(row("9725 4.2", "pages of other origins may read what the protocol needs", vec![post("/whip/r", CAMERA)], exposed));
    }
    let session = expect(&[200]).header("accept-patch", FRAGMENT).header("access-control-allow-methods", "PATCH, DELETE");
    rows.push(row("9725 4.2", "so do sessions", options("{whip}"), session));
    rows
}

fn set_up() -> Vec<Row> {
    let created = || expect(&[201]).header("content-type", SDP).header("location", "/resources/").body("v=0\r\n");
    let mut rows = vec![
        row("9725 4.2", "an offer is answered: 201, application/sdp, Location", vec![post("/whip/r", CAMERA)], created()),
        row("whep 4.2.1", "an offer is answered: 201, application/sdp, Location", vec![post("/whep/r", PLAYER)], created()),
        row("9725 4.2", "the answer is recvonly", vec![post("/whip/r", CAMERA)], created().each_m_line("a=recvonly")),
        row(
            "9725 4.2",
            "also where the offer is sendrecv",
            vec![post("/whip/r", CAMERA.replace("a=sendonly", "a=sendrecv"))],
            created().each_m_line("a=recvonly"),
        ),
        row("whep 4.2.5", "the answer is sendonly", vec![post("/whep/r", PLAYER)], created().each_m_line("a=sendonly")),
        row(
            "whep 4.2.5",
            "also where the offer is sendrecv, and nobody is there yet",
            vec![post("/whep/r/nobody", PLAYER.replace("a=recvonly", "a=sendrecv"))],
            created().each_m_line("a=sendonly"),
        ),
        row("9725 4.2", "recvonly is not for publishers", vec![post("/whip/r", PLAYER)], expect(&[422]).body("sendonly")),
        row("9725 4.2", "nor is inactive", vec![post("/whip/r", CAMERA.replace("a=sendonly", "a=inactive"))], expect(&[422])),
        row("9725 4.3.2", "the answer has all candidates of the server", vec![post("/whip/r", CAMERA)], {
            created().body("a=candidate:1 1 udp").body("192.0.2.9 3478 typ host").body("a=end-of-candidates")
        }),
    ];
    for (path, section) in [("/whip/r", "9725 4.2"), ("/whep/r", "whep 4.2.4")] {
        for broken in ["hello", "v=0\r\n", "v=0\r\nm=audio\r\n"] {
            rows.push(row(
                section,
                "a malformed offer is refused",
                vec![post(path, broken)],
                expect(&[400]).body("detail").participants(3),
            ));
        }
        let typed = Ask::new("POST", path).body("text/plain", CAMERA);
        let refused = expect(&[415]).header("accept-post", SDP).participants(3);
        rows.push(row(section, "another content type is refused", vec![typed], refused));
    }
    let live = |path| Row {
        live_only: true,
        ..row(
            "whep 4.2.7",
            "409 and Retry-After while nobody publishes",
            vec![post(path, PLAYER)],
            expect(&[409]).header("retry-after", "3"),
        )
    };
    rows.extend([live("/whep/r"), live("/whep/r/cam")]);
    rows.push(Row {
        live_only: true,
        ..row("whep 4.2.7", "and an answer once somebody does", vec![post("/whip/r", CAMERA), post("/whep/r/cam", PLAYER)], created())
    });
    rows
}

fn counter_offers() -> Vec<Row> {
    let sendonly = || PLAYER.replace("a=recvonly", "a=sendonly");
    let offered = || expect(&[406]).header("content-type", SDP).header("location", "/resources/").body("v=0\r\n");
    let answer = |path| Ask::new("PATCH", path).body(SDP, players_answer());
    vec![
        row("whep 4.2.2", "an offer that is not taken is answered by one of ours", vec![post("/whep/r/cam", sendonly())], offered()),
        row("whep 4.2.5", "which is sendonly", vec![post("/whep/r/cam", sendonly())], offered().each_m_line("a=sendonly")),
        row("whep 4.2.2", "as JSEP's initial offers are", vec![post("/whep/r/cam", sendonly())], {
            offered().each_m_line("a=setup:actpass").each_m_line("a=rtcp-mux").body("a=group:BUNDLE").body("a=ice-lite")
        }),
        row("whep 4.2.2", "without a codec in common, too", vec![post("/whep/r/cam", without_codecs())], offered()),
        row("whep 4.2.2", "the player's answer ends it: 204", vec![answer("{offered}")], expect(&[204]).empty()),
        row("whep 4.2.2", "a malformed answer is refused", vec![Ask::new("PATCH", "{offered}").body(SDP, "hello")], expect(&[400])),
        row(
            "whep 4.2.2",
            "and may be sent again",
            vec![Ask::new("PATCH", "{offered}").body(SDP, "hello"), answer("{offered}")],
            expect(&[204]),
        ),
        row("whep 4.2.2", "once only", vec![answer("{offered}"), answer("{offered}")], expect(&[409])),
        row("whep 4.2.2", "where no offer waits, there is nothing to answer", vec![answer("{whep}")], expect(&[409])),
        row("whep 4.2.2", "before the answer there is no ICE to trickle for", vec![patch("{offered}", TRICKLED)], expect(&[409])),
        row("9725 4.3.1", "publishers always offer", vec![Ask::new("PATCH", "{whip}").body(SDP, CAMERA)], expect(&[415])),
    ]
}

fn patches() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in ["{whip}", "{whep}"] {
        let typed = Ask::new("PATCH", path).header("if-match", "*").body("application/json", "{}");
        let refused = expect(&[415]).header("accept-patch", FRAGMENT);
        rows.push(row("9725 4.3.1", "a PATCH of another content type is refused", vec![typed], refused));
        for broken in ["hello", "", "a=ice-ufrag:fAnC\r\n", "m=audio\r\n", "a=ice-ufrag:x\r\na=ice-pwd:y\r\n"] {
            rows.push(row("9725 4.3.1", "a malformed fragment is refused", vec![patch(path, broken)], expect(&[400]).participants(3)));
        }
        let missing = Ask::new("PATCH", path).body(FRAGMENT, TRICKLED);
        rows.push(row("9725 4.3.1", "a missing entity tag: 428", vec![missing], expect(&[428])));
        let other = Ask::new("PATCH", path).header("if-match", "\"other\"").body(FRAGMENT, TRICKLED);
        rows.push(row("9725 4.3.1", "another entity tag: 412", vec![other], expect(&[412])));
        let weak = Ask::new("PATCH", path).header("if-match", "W/{tag}").body(FRAGMENT, TRICKLED);
        rows.push(row("9110 13.1.1", "If-Match compares strongly", vec![weak], expect(&[412])));
    }
    for (path, offer) in [("/whip/r", CAMERA), ("/whep/r", PLAYER)] {
        let tagged = expect(&[201]).header("etag", "\"");
        rows.push(row("9725 4.3.1", "the first entity tag comes with the 201", vec![post(path, offer)], tagged));
    }
    rows
}

fn trickle() -> Vec<Row> {
    let done = || expect(&[204]).no_header("etag").empty();
    vec![
        row("9725 4.3.2", "candidates: 204 without body and without ETag", vec![patch("{whip}", TRICKLED)], done()),
        row("whep 4.4.2", "candidates: 204 without body and without ETag", vec![patch("{whep}", &players(TRICKLED))], done()),
        row("9725 4.3.2", "candidates that nobody can use are discarded in silence", vec![patch("{whip}", ODD_CANDIDATES)], done()),
        row("9725 4.3.2", "the same again is no error", vec![patch("{whip}", TRICKLED), patch("{whip}", TRICKLED)], done()),
        row("8840 4.4", "an m-line that does not exist is refused", vec![patch("{whip}", &TRICKLED.replace("a=mid:0", "a=mid:7"))], {
            expect(&[422]).body("mid 7")
        }),
        row(
            "9725 4.3.2",
            "trickle is confirmed where it was offered",
            vec![post("/whip/r", CAMERA)],
            expect(&[201]).body("a=ice-options:trickle"),
        ),
    ]
}

fn restarts() -> Vec<Row> {
    let again = |status: &'static [u16]| expect(status).participants(3);
    vec![
        row("9725 4.3.3", "a restart: 200 with a fragment", vec![restart("{whip}")], {
            again(&[200]).header("content-type", FRAGMENT).body("a=ice-ufrag:").body("a=ice-pwd:").body_without("fAnC")
        }),
        row("whep 4.4.3", "a restart: 200 with a fragment", vec![restart("{whep}")], again(&[200]).header("content-type", FRAGMENT)),
        row("9725 4.3.3", "with candidates for the media server", vec![restart("{whip}")], again(&[200]).body("192.0.2.9 3478 typ host")),
        row("9725 4.3.3", "with the ice-lite of the answer", vec![restart("{whip}")], again(&[200]).body("a=ice-lite\r\n")),
        row("9725 4.3.3", "and its ice-options", vec![restart("{whip}")], again(&[200]).body("a=ice-options:trickle\r\n")),
        row(
            "9725 4.3.3",
            "with the m-line that the fragment is about",
            vec![restart("{whip}")],
            again(&[200]).body("m=audio 9 ").body("a=mid:0"),
        ),
        row("9725 4.3.3", "with a new entity tag", vec![restart("{whip}")], again(&[200]).header("etag", "\"")),
        row("9725 4.3.3", "after which the old one no longer matches", vec![restart("{whip}"), patch("{whip}", RESTART)], again(&[412])),
        row(
            "9725 4.3.3",
            "If-Match may have the quotes of the example",
            vec![Ask::new("PATCH", "{whip}").header("if-match", "\"*\"").body(FRAGMENT, RESTART)],
            again(&[200]),
        ),
        row(
            "9725 4.3.3",
            "new credentials are a restart whatever If-Match says",
            vec![patch("{whip}", RESTART)],
            again(&[200]).header("etag", "\""),
        ),
        row(
            "9725 4.3.3",
            "one that cannot be met is an error and ends nothing",
            vec![Ask::new("PATCH", "{whip}").header("if-match", "*").body(FRAGMENT, HALF_RESTART)],
            again(&[422]).body("both"),
        ),
        row(
            "9725 4.3.3",
            "and the ICE before it stays",
            vec![Ask::new("PATCH", "{whip}").header("if-match", "*").body(FRAGMENT, HALF_RESTART), patch("{whip}", TRICKLED)],
            again(&[204]),
        ),
        row("9725 4.3.3", "a restart does not end the session", vec![restart("{whip}"), Ask::new("GET", "{whip}")], again(&[204])),
    ]
}

fn the_end() -> Vec<Row> {
    let delete = || Ask::new("DELETE", "{whip}");
    vec![
        row("9725 4.2", "DELETE ends the session and frees what it held", vec![delete()], expect(&[200]).participants(2)),
        row("whep 4.3", "DELETE ends the session", vec![Ask::new("DELETE", "{whep}")], expect(&[200]).participants(2)),
        row("9725 4.3.1", "and ignores entity tags", vec![delete().header("if-match", "\"other\"")], expect(&[200]).participants(2)),
        row("9110 9.2.2", "twice is as once", vec![delete(), delete()], expect(&[404]).participants(2)),
        row("9725 4.2", "afterwards nothing is there", vec![delete(), Ask::new("GET", "{whip}")], expect(&[404])),
        row("9725 4.2", "for nobody", vec![delete(), patch("{whip}", TRICKLED)], expect(&[404])),
    ]
}

fn constraints() -> Vec<Row> {
    let answered = || expect(&[201]);
    let mut rows = Vec::new();
    for (path, offer) in [("/whip/r", CAMERA), ("/whep/r", PLAYER)] {
        let ask = || vec![post(path, offer)];
        rows.extend([
            row("9725 4.4.1", "BUNDLE is used", ask(), answered().body("a=group:BUNDLE 0 1\r\n")),
            row("9725 4.4.1", "RTP and RTCP share a port", ask(), answered().each_m_line("a=rtcp-mux")),
            row("9725 4.4.1", "and a=rtcp-mux-only says so", ask(), answered().each_m_line("a=rtcp-mux-only")),
        ]);
    }
    rows.extend([
        row("9725 4.4.1", "m-lines outside of the one group are refused", vec![post("/whip/r", CAMERA.replace("BUNDLE 0 1", "BUNDLE"))], {
            expect(&[422])
        }),
        row(
            "9725 4.4.3",
            "no partial success: one m-line that cannot be taken refuses all",
            vec![post("/whip/r", half_without_codecs())],
            expect(&[400, 422]).participants(3),
        ),
        row(
            "9725 4.4.4",
            "actpass: the server waits for the handshake",
            vec![post("/whip/r", CAMERA)],
            answered().each_m_line("a=setup:passive"),
        ),
        row(
            "9725 4.4.4",
            "active, too",
            vec![post("/whip/r", CAMERA.replace("actpass", "active"))],
            answered().each_m_line("a=setup:passive"),
        ),
        row("8842 5.3", "passive: the server begins it (FFmpeg)", vec![post("/whip/r", FFMPEG)], answered().each_m_line("a=setup:active")),
        row("9725 4.8", "simulcast is answered by its rules", vec![post("/whip/r", SIMULCAST)], {
            answered().body("a=simulcast:recv q;h;f").body("a=rid:q recv").body("a=rid:f recv")
        }),
    ]);
    rows
}

fn servers_and_tokens() -> Vec<Row> {
    let mut rows = vec![
        row("9725 4.6", "ICE servers come as Link", vec![post("/whip/r", CAMERA)], {
            expect(&[201]).header("link", "<stun:192.0.2.9:3478>; rel=\"ice-server\"").header("link", "credential-type=\"password\"")
        }),
        row("9725 4.6", "and with OPTIONS, for who shows a token", vec![Ask::new("OPTIONS", "/whip/r")], {
            expect(&[200]).header("link", "rel=\"ice-server\"")
        }),
        row("9725 4.6", "but not in a preflight", vec![Ask::new("OPTIONS", "/whip/r").header("access-control-request-method", "POST")], {
            expect(&[200]).no_header("link")
        }),
        row("9725 4.6", "nor for nobody", vec![Ask::new("OPTIONS", "/whip/r").without_token()], expect(&[200]).no_header("link")),
        row("9725 4.9", "no extension is needed, and none is announced", vec![post("/whip/r", CAMERA)], {
            expect(&[201]).header("link", "ice-server")
        }),
    ];
    for path in ["/whip/r", "/whep/r", "/whep/r/cam"] {
        let demand = "a POST is never redirected as 301 or 302";
        rows.push(row("9725 4.5", demand, vec![post(path, CAMERA).without_token()], expect(&[401])));
    }
    for (path, offer) in [("/whip/r", CAMERA), ("/whep/r", PLAYER)] {
        let refused = expect(&[401]).header("www-authenticate", "Bearer").participants(3);
        rows.push(row("9725 4.7.1", "bearer tokens are asked for", vec![post(path, offer).without_token()], refused));
    }
    for path in ["{whip}", "{whep}"] {
        for ask in [patch(path, TRICKLED), Ask::new("DELETE", path)] {
            rows.push(row("9725 4.7.1", "also by sessions", vec![ask.clone().without_token()], expect(&[401]).participants(3)));
            rows.push(row("9725 5", "another's token is of no use", vec![ask.by("mallory")], expect(&[403]).participants(3)));
        }
    }
    rows.push(row("9725 5", "what is not there is not found", vec![Ask::new("DELETE", "/resources/0123456789abcdef")], expect(&[404])));
    for (method, path) in [("PUT", "/whip/r"), ("PATCH", "/whip/r"), ("DELETE", "/whep/r"), ("POST", "{whip}"), ("PUT", "{whep}")] {
        rows.push(row(
            "9110 15.5.6",
            "other methods: 405 with Allow",
            vec![Ask::new(method, path)],
            expect(&[405]).header("allow", "OPTIONS"),
        ));
    }
    rows
}

/// The fragment, as the player would write it.
fn players(fragment: &str) -> String {
    fragment.replace("fAnC", "f1cl").replace("Tzfu4B8wx+msLjTY2BoP0QWS", "k2GxwANVwghI/jTeF8ysXBKe").replace("m=audio", "m=video")
}

/// What a browser answers to our offer of sound and picture: mids 0 and 1 in that order, as here.
fn players_answer() -> String {
    let line = |kind: &str, mid: u8, codec: &str| {
        format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {codec}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:f1cl\r\na=ice-pwd:k2GxwANVwghI/jTeF8ysXBKe\r\n\
             a=fingerprint:sha-256 {}\r\na=setup:active\r\na=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\n",
            ["AB"; 32].join(":")
        )
    };
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n{}a=rtpmap:111 opus/48000/2\r\n{}a=rtpmap:96 VP8/90000\r\n",
        line("audio", 0, "111"),
        line("video", 1, "96")
    )
}

/// A player that knows no codec of ours.
fn without_codecs() -> String {
    let unknown = |line: &str| line.starts_with("a=rtpmap:").then(|| line.split_once(' ').map(|(head, _)| format!("{head} nothing/8000")));
    PLAYER.lines().map(|line| unknown(line).flatten().unwrap_or_else(|| line.to_owned()) + "\r\n").collect()
}

/// A publisher whose sound is in a codec that nobody knows.
fn half_without_codecs() -> String {
    CAMERA.replacen("opus/48000/2", "nothing/48000/2", 1).replace("red/48000/2", "nothing/48000/2")
}
