// The behaviours that a client of coturn relies on, each by the tool that shows it. A row: `[name, tool, arguments, expectation, options]`.
//
// Options: `tries` (what depends on timing may be repeated), `beyond` (why Debian's coturn 4.6 does not pass: only we are asked).
import { createHmac } from "node:crypto";
import fs from "node:fs";
import { HOSTS } from "./world.mjs";

const UCLIENT = "turnutils_uclient";
const STUN = "turnutils_stunclient";
const NAT = "turnutils_natdiscovery";

// Expectations: what a run's text and code must be; the returned string says what is wrong.
const counts = (text) => text.match(/start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)/)?.slice(1).map(Number);
const clean = (code, text) => (code !== 0 ? `exit code ${code}` : /Total lost packets 0 /.test(text) ? null : "packets were lost");

/** Every one of `n` messages comes back. */
export const all = (n) => ({ code, text }) => {
  const [sent, received] = counts(text) ?? [];
  return sent === n && received === n ? clean(code, text) : `${received} of ${sent} messages came back, ${n} were expected`;
};
/** Whatever the number: as many come back as were sent. */
const even = ({ code, text }) => {
  const [sent, received] = counts(text) ?? [];
  return sent > 0 && sent === received ? clean(code, text) : `${received} of ${sent} messages came back`;
};
/** A share of the messages comes back: where the tool itself loses some (it reads one TLS record per wake-up), or the server must drop some. */
const between = (least, most) => ({ text }) => {
  const [sent, received] = counts(text) ?? [];
  return sent > 0 && received >= least * sent && received <= most * sent ? null : `${received} of ${sent} messages came back`;
};
const says = (...patterns) => ({ text }) => {
  const missing = patterns.filter((pattern) => !pattern.test(text));
  return missing.length ? `nothing like ${missing.join(", ")}` : null;
};
const both = (...expectations) => (run) => expectations.map((expect) => expect(run)).find((wrong) => wrong) ?? null;
const refused = says(/Cannot complete Allocation|error 401/);
/** The tool may end as it likes; the server must live and serve. */
const survives = () => null;

const LOOPBACK = ["listening-ip=127.0.0.1", "listening-ip=::1", "relay-ip=127.0.0.1", "relay-ip=::1", "allow-loopback-peers"];
const SECRET = ["lt-cred-mech", "use-auth-secret", "static-auth-secret=secret"];
const LOGIN = ["-u", "user", "-W", "secret"];
const V4 = ["-e", "127.0.0.1", "-X"];
const V6 = ["-e", "::1", "-x"];
const TRANSPORTS = { UDP: [], TCP: ["-t"], TLS: ["-t", "-S"], DTLS: ["-S"] };

/** The password that a shared secret makes of a user name. */
const signed = (name) => ["-u", name, "-w", createHmac("sha1", "secret").update(name).digest("base64")];
const in_an_hour = Math.floor(Date.now() / 1000) + 3600;

function transports() {
  const rows = [];
  const families = { "IPv4": [V4, "127.0.0.1"], "IPv6": [V6, "::1"], "IPv6 relay of an IPv4 client": [V6, "127.0.0.1"], "IPv4 relay of an IPv6 client": [V4, "::1"] };
  for (const [transport, flags] of Object.entries(TRANSPORTS)) {
    for (const [way, send] of [["channels", []], ["indications", ["-s"]]])
      for (const [family, [peer, to]] of Object.entries(families))
        rows.push([`${transport}: ${way}, ${family}`, UCLIENT, [...flags, ...send, "-c", ...peer, ...LOGIN, to], all(5)]);
    // EVEN-PORT with the next port reserved, then the reservation's token: two adjacent ports (RFC 8656 section 7.2).
    rows.push([`${transport}: a pair of ports, DONT-FRAGMENT`, UCLIENT, [...flags, "-g", ...V4, ...LOGIN, "127.0.0.1"], all(10)]);
    rows.push([`${transport}: both families in one allocation`, UCLIENT, [...flags, "-Z", "-e", "127.0.0.1", ...LOGIN, "127.0.0.1"], all(5)]);
    rows.push([`${transport}: both families, indications to IPv6`, UCLIENT, [...flags, "-Z", "-s", "-x", "-e", "::1", ...LOGIN, "::1"], all(5), { tries: 3 }]);
    rows.push([`${transport}: odd lengths`, UCLIENT, [...flags, "-c", "-l", "1399", ...V4, ...LOGIN, "127.0.0.1"], all(5)]);
    rows.push([`${transport}: ten clients`, UCLIENT, [...flags, "-c", "-m", "10", "-n", "50", "-l", "900", ...V4, ...LOGIN, "127.0.0.1"], transport === "TLS" ? between(0.9, 1) : all(500), { tries: 3 }]);
    rows.push([`${transport}: from relay to relay`, UCLIENT, [...flags, "-y", "-c", "-n", "20", "-m", "4", ...LOGIN, "127.0.0.1"], transport === "TLS" ? between(0.9, 1) : even, { tries: 3 }]);
  }
  return rows;
}

function lengths_and_shapes() {
  return [
    ["UDP: the shortest messages", UCLIENT, ["-l", "1", ...V4, ...LOGIN, "127.0.0.1"], even],
    ["UDP: 8,000 bytes", UCLIENT, ["-l", "8000", ...V4, ...LOGIN, "127.0.0.1"], all(10), { tries: 3 }],
    ["UDP: ChannelData with padding is taken", UCLIENT, ["-D", "-c", "-l", "171", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["UDP: fifty clients", UCLIENT, ["-m", "50", "-n", "10", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(500), { tries: 3 }],
    ["UDP: a client from another address", UCLIENT, ["-L", "127.0.0.7", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["more channels and permissions than are used", UCLIENT, ["-G", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["several peers in one CreatePermission", UCLIENT, ["-G", "-c", "-s", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["BANDWIDTH and ORIGIN do no harm", UCLIENT, ["-a", "64000", "-o", "http://example.com:8080", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["a channel number outside of the range is refused", UCLIENT, ["-N", "-c", ...V4, ...LOGIN, "127.0.0.1"], says(/channel bind: error 400/)],
    ["nothing passes without a permission", UCLIENT, ["-I", "-y", "-s", "-c", "-n", "10", "-m", "2", ...LOGIN, "127.0.0.1"], says(/start_mclient: tot_send_msgs=\d+, tot_recv_msgs=0\b/)],
    ["TLS on the plain port", UCLIENT, ["-t", "-S", "-p", "3478", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["DTLS on the plain port", UCLIENT, ["-S", "-p", "3478", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["TCP on the TLS port", UCLIENT, ["-t", "-p", "5349", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["UDP on the alternative port", UCLIENT, ["-p", "3479", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["UDP on the TLS port", UCLIENT, ["-p", "5349", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["the certificate is the configured one", UCLIENT, ["-t", "-S", "-E", "${cert}", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["the client chooses the cipher", UCLIENT, ["-t", "-S", "-F", "ECDHE-RSA-AES128-GCM-SHA256", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["STUN over IPv4", STUN, ["127.0.0.1"], says(/UDP reflexive addr: 127\.0\.0\.1:\d+/)],
    ["STUN over IPv6", STUN, ["::1"], says(/UDP reflexive addr: /)],
  ];
}

function moving() {
  const broken = "closes the connection at the second Refresh of a moved allocation";
  return [
    ["mobility: UDP, channels", UCLIENT, ["-M", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
    ["mobility: UDP, indications, a pair of ports", UCLIENT, ["-M", "-s", ...V4, ...LOGIN, "127.0.0.1"], all(10), { tries: 3 }],
    ["mobility: ten clients", UCLIENT, ["-M", "-c", "-m", "10", "-n", "50", ...V4, ...LOGIN, "127.0.0.1"], all(500), { tries: 3 }],
    ["mobility: both families", UCLIENT, ["-M", "-Z", "-e", "127.0.0.1", ...LOGIN, "127.0.0.1"], all(5)],
    ["mobility: TCP", UCLIENT, ["-M", "-t", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5), { tries: 3, beyond: broken }],
    ["mobility: RFC 6062", UCLIENT, ["-M", "-T", "-n", "10", "-m", "2", "-l", "170", ...LOGIN, "127.0.0.1"], even, { tries: 3, beyond: broken }],
    ["mobility: TLS", UCLIENT, ["-M", "-t", "-S", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5), { tries: 3, beyond: broken }],
  ];
}

function tcp_relays() {
  const of = (...more) => ["-T", "-n", "10", "-m", "4", "-l", "170", ...more, ...LOGIN];
  return [
    ["RFC 6062: Connect and ConnectionBind", UCLIENT, [...of(), "127.0.0.1"], even, { tries: 3 }],
    ["RFC 6062: over TLS", UCLIENT, [...of("-S"), "127.0.0.1"], even, { tries: 3 }],
    ["RFC 6062: IPv6", UCLIENT, [...of("-x"), "::1"], even, { tries: 3 }],
    ["RFC 6062: IPv6 relay of an IPv4 client", UCLIENT, [...of("-x"), "127.0.0.1"], even, { tries: 3 }],
    // In this mode the tool counts one side of each pair.
    ["RFC 6062: peers that connect to us are announced", UCLIENT, [...of("-P"), "127.0.0.1"], between(0.5, 1), { tries: 3 }],
    ["RFC 6062: connection ids that were never given", UCLIENT, [...of("-N"), "127.0.0.1"], survives],
  ];
}

function logins() {
  const relays = (...login) => [UCLIENT, ["-c", ...V4, ...login, "127.0.0.1"]];
  return [
    ["REST: timestamp:user", ...relays(...signed(`${in_an_hour}:alice`)), all(5)],
    ["REST: user:timestamp", ...relays(...signed(`alice:${in_an_hour}`)), all(5)],
    ["REST: timestamp alone", ...relays(...signed(`${in_an_hour}`)), all(5)],
    ["REST: expired", ...relays(...signed("1000000000:alice")), refused],
    ["REST: another secret", ...relays("-u", "user", "-W", "guess"), refused],
  ];
}

/** What no client of good faith sends. */
function abuse() {
  return [
    ["random bytes in every tenth message: UDP", UCLIENT, ["-R", "-c", "-n", "100", "-m", "4", ...V4, ...LOGIN, "127.0.0.1"], survives],
    ["random bytes in every tenth message: TCP", UCLIENT, ["-R", "-t", "-c", "-n", "100", "-m", "4", ...V4, ...LOGIN, "127.0.0.1"], survives],
    ["clients that vanish at once", UCLIENT, ["-O", "-G", "-c", "-n", "10", "-m", "12", ...V4, ...LOGIN, "127.0.0.1"], survives],
    ["clients that vanish in between", UCLIENT, ["-B", "-c", "-n", "30", "-m", "12", ...V4, ...LOGIN, "127.0.0.1"], survives],
  ];
}

const relays = [UCLIENT, ["-c", ...V4, ...LOGIN, "127.0.0.1"]];
const is_refused = (code) => says(new RegExp(`error ${code}`));

/** Configurations and their rows. */
export const WORLDS = {
  "shared secret": { lines: [...LOOPBACK, ...SECRET, "mobility"], rows: [...transports(), ...lengths_and_shapes(), ...moving(), ...tcp_relays(), ...logins()] },
  "abuse": { lines: [...LOOPBACK, ...SECRET, "mobility"], rows: abuse(), then: [...relays, all(5)] },
  "users in the file": {
    lines: [...LOOPBACK, "lt-cred-mech", "user=alice:wonderland", "user=bob:builder"],
    rows: [
      ["a user", UCLIENT, ["-c", ...V4, "-u", "alice", "-w", "wonderland", "127.0.0.1"], all(5)],
      ["another user, TCP", UCLIENT, ["-t", "-c", ...V4, "-u", "bob", "-w", "builder", "127.0.0.1"], all(5)],
      ["another's password", UCLIENT, ["-c", ...V4, "-u", "alice", "-w", "builder", "127.0.0.1"], refused],
      ["nobody's name", UCLIENT, ["-c", ...V4, "-u", "carol", "-w", "wonderland", "127.0.0.1"], refused],
    ],
  },
  "users in the database": {
    lines: [...LOOPBACK, "lt-cred-mech"],
    database: [["-a", "-u", "dora", "-r", "example.org", "-p", "explorer"]],
    rows: [
      ["a user that turnadmin wrote", UCLIENT, ["-c", ...V4, "-u", "dora", "-w", "explorer", "127.0.0.1"], all(5)],
      ["with a wrong password", UCLIENT, ["-c", ...V4, "-u", "dora", "-w", "boots", "127.0.0.1"], refused],
    ],
  },
  "secrets in the database": {
    lines: [...LOOPBACK, "use-auth-secret"],
    database: [["-s", "first", "-r", "example.org"], ["-s", "second", "-r", "example.org"]],
    rows: ["first", "second"].map((secret) => [`the ${secret} of two secrets`, UCLIENT, ["-c", ...V4, "-u", "user", "-W", secret, "127.0.0.1"], all(5)]),
  },
  "access tokens": {
    lines: [...LOOPBACK, "lt-cred-mech", "oauth", "server-name=blackdow.carleon.gov", "realm=north.gov"],
    database: [["-l"]],
    // The client makes its tokens with the keys that coturn's own examples have.
    sql: () => fs.readFileSync("/usr/share/coturn/testsqldbsetup.sql", "utf8").split("\n").filter((line) => line.includes(" oauth_key ")),
    rows: Object.entries({ UDP: [], TLS: ["-t", "-S"] }).map(([transport, flags]) => [`RFC 7635: ${transport}`, UCLIENT, ["-J", ...flags, "-c", ...V4, "127.0.0.1"], all(5)]),
  },
  "realms by origin": {
    lines: [...LOOPBACK, "lt-cred-mech", "check-origin-consistency"],
    database: [["-O", "-o", "http://crinna.org:80", "-r", "crinna.org"], ["-a", "-u", "gorst", "-r", "crinna.org", "-p", "hero"]],
    rows: [
      ["ORIGIN chooses the realm", UCLIENT, ["-o", "http://crinna.org:80", "-u", "gorst", "-w", "hero", "-c", ...V4, "127.0.0.1"], all(5)],
      ["without ORIGIN the user is nobody", UCLIENT, ["-u", "gorst", "-w", "hero", "-c", ...V4, "127.0.0.1"], refused],
    ],
  },
  "no authentication": { lines: [...LOOPBACK, "no-auth"], rows: [["anyone relays", UCLIENT, ["-c", ...V4, "127.0.0.1"], all(5)]] },
  "separator": { lines: [...LOOPBACK, ...SECRET, "rest-api-separator=!"], rows: [["REST with another separator", UCLIENT, ["-C", "!", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)]] },
  "NAT discovery": {
    lines: [`listening-ip=${HOSTS.server}`, `listening-ip=${HOSTS.second}`, `relay-ip=${HOSTS.server}`, ...SECRET],
    address: HOSTS.server,
    rows: [
      ["RFC 5780: answers from the other addresses", STUN, ["-L", HOSTS.client, "-f", HOSTS.server], says(/RFC 5780 response 1/, /RFC 5780 response 2/, /RFC 5780 response 3/)],
      ["RFC 5780: mapping and filtering", NAT, ["-m", "-f", "-L", HOSTS.client, HOSTS.server], says(/Endpoint Independent Mapping/, /Endpoint Independent Filtering/)],
      ["RFC 5780: PADDING", NAT, ["-m", "-P", "-L", HOSTS.client, HOSTS.server], says(/Endpoint Independent Mapping/)],
      ["RFC 5780: hairpin", NAT, ["-H", "-L", HOSTS.client, HOSTS.server], says(/hairpin/i)],
      ["RFC 5780: two clients behind one NAT do not collide", NAT, ["-c", "-L", HOSTS.client, "-A", HOSTS.second, HOSTS.server], says(/collision/i)],
    ],
  },
  "user quota": { lines: [...LOOPBACK, ...SECRET, "user-quota=3"], rows: [["user-quota", UCLIENT, ["-m", "8", "-c", ...V4, ...LOGIN, "127.0.0.1"], is_refused(486)]] },
  "total quota": { lines: [...LOOPBACK, ...SECRET, "total-quota=3"], rows: [["total-quota", UCLIENT, ["-m", "8", "-c", ...V4, ...LOGIN, "127.0.0.1"], is_refused(486)]] },
  "denied peers": {
    lines: [...LOOPBACK, ...SECRET, "denied-peer-ip=127.0.0.0-127.255.255.255"],
    rows: [
      ["denied-peer-ip: ChannelBind", ...relays, is_refused(403)],
      ["denied-peer-ip: CreatePermission", UCLIENT, ["-s", "-c", ...V4, ...LOGIN, "127.0.0.1"], is_refused(403)],
    ],
  },
  "denied but allowed": { lines: [...LOOPBACK, ...SECRET, "denied-peer-ip=127.0.0.0-127.255.255.255", "allowed-peer-ip=127.0.0.1"], rows: [["allowed-peer-ip wins", ...relays, all(5)]] },
  "no loopback peers": {
    lines: [...LOOPBACK.slice(0, 4), ...SECRET],
    rows: [
      ...["127.0.0.1", "0.0.0.0"].map((peer) => [`the peer ${peer} is refused`, UCLIENT, ["-c", "-e", peer, "-X", ...LOGIN, "127.0.0.1"], is_refused("(403|400)")]),
      ...["::1", "::"].map((peer) => [`the peer ${peer} is refused`, UCLIENT, ["-c", "-e", peer, "-x", ...LOGIN, "::1"], is_refused("(403|400)")]),
      ["the peer ::ffff:127.0.0.1 is refused", UCLIENT, ["-c", "-e", "::ffff:127.0.0.1", "-x", ...LOGIN, "::1"], is_refused("(403|400|443)"), { beyond: "grants it (CVE-2026-27624)" }],
    ],
  },
  "no UDP relay": { lines: [...LOOPBACK, ...SECRET, "no-udp-relay"], rows: [["no-udp-relay", ...relays, is_refused("(442|403)")]] },
  "no TCP relay": { lines: [...LOOPBACK, ...SECRET, "no-tcp-relay"], rows: [["no-tcp-relay", UCLIENT, ["-T", "-n", "5", ...LOGIN, "127.0.0.1"], is_refused("(442|403)")]] },
  "bandwidth": { lines: [...LOOPBACK, ...SECRET, "max-bps=4000"], rows: [["max-bps drops the rest", UCLIENT, ["-c", "-n", "100", "-l", "1000", ...V4, ...LOGIN, "127.0.0.1"], between(0, 0.5)]] },
  "stale nonce": { lines: [...LOOPBACK, ...SECRET, "stale-nonce=3"], rows: [["data flows while nonces grow old", UCLIENT, ["-c", "-n", "1700", "-z", "20", ...V4, ...LOGIN, "127.0.0.1"], all(1700), { tries: 2 }]] },
  "alternate server": { lines: [...LOOPBACK, ...SECRET, `alternate-server=${HOSTS.client}:3478`], rows: [["ALTERNATE-SERVER", ...relays, is_refused(300)]] },
  "external address": {
    lines: [`listening-ip=${HOSTS.server}`, `relay-ip=${HOSTS.server}`, `external-ip=${HOSTS.public}/${HOSTS.server}`, ...SECRET],
    address: HOSTS.server,
    rows: [["external-ip is what clients and peers are told", UCLIENT, ["-v", "-c", "-y", "-n", "5", "-m", "2", "-L", HOSTS.client, ...LOGIN, HOSTS.server], both(all(10), says(/relay addr: 203\.0\.113\.1/))]],
  },
  "secure STUN": { lines: [...LOOPBACK, ...SECRET, "secure-stun"], rows: [["STUN wants credentials", STUN, ["127.0.0.1"], is_refused(401)]] },
  "short lifetimes": { lines: [...LOOPBACK, ...SECRET, "max-allocate-lifetime=120", "channel-lifetime=60", "permission-lifetime=60"], rows: [["relays all the same", ...relays, all(5)]] },
  "auxiliary listener": { lines: [...LOOPBACK, ...SECRET, "aux-server=127.0.0.1:33478"], rows: [["aux-server", UCLIENT, ["-p", "33478", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)]] },
  "server relay": { lines: [...LOOPBACK, ...SECRET, "server-relay"], rows: [["no permission is needed", UCLIENT, ["-I", "-y", "-s", "-c", "-n", "10", "-m", "4", ...LOGIN, "127.0.0.1"], even, { tries: 3 }]] },
  "client certificates": {
    lines: [...LOOPBACK, ...SECRET, "CA-file=${cert}"],
    rows: [
      ["TLS with one", UCLIENT, ["-t", "-S", "-i", "${cert}", "-k", "${key}", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5)],
      ["DTLS with one", UCLIENT, ["-S", "-i", "${cert}", "-k", "${key}", "-c", ...V4, ...LOGIN, "127.0.0.1"], all(5), { tries: 2 }],
      ["TLS without one is refused", UCLIENT, ["-t", "-S", "-c", ...V4, ...LOGIN, "127.0.0.1"], (run) => (all(5)(run) ? null : "it was served"), { ms: 20_000 }],
    ],
  },
};
