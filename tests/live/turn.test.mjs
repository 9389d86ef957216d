// coturn's own client against our port: every datagram that it sends must come back.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { ADDRESS, server, sleep } from "./lab.mjs";

const USER = ["-u", "alice", "-w", "wonderland"];
const SECRET = ["-u", "bob", "-W", "a secret that only this test knows"];
const CONFIG = `users = { alice = "wonderland" }\nallowed_peers = ["127.0.0.0/8", "::1/128", "10.78.0.0/24"]\n`;

function client(args) {
  const run = spawnSync("turnutils_uclient", args, { encoding: "utf8", timeout: 60_000 });
  return { code: run.status, text: run.stdout + run.stderr };
}

describe("coturn's client", () => {
  let pointsman, peer;
  before(async () => {
    pointsman = await server({ turn: CONFIG });
    peer = spawn("turnutils_peer", ["-L", ADDRESS, "-L", "::1"], { stdio: "ignore" });
    await sleep(500);
  });
  after(async () => {
    peer.kill();
    await pointsman.stop();
  });

  for (const [who, login] of [["a static user", USER], ["the shared secret", SECRET]])
    for (const [how, flags] of [["channels", []], ["Send indications", ["-s"]], ["an RTP and RTCP pair of ports", ["-pair"]]])
      for (const [family, to, from] of [["IPv4", ["-e", ADDRESS, "-X"], ADDRESS], ["IPv6", ["-e", "::1", "-x"], "::1"]]) {
        const pair = flags[0] === "-pair";
        it(`relays through ${how} with ${who} over ${family}`, () => {
          const { code, text } = client([...(pair ? [] : ["-c", ...flags]), "-m", "10", "-n", "100", "-l", "1000", ...to, ...login, from]);
          assert.match(text, /tot_send_msgs=1000, tot_recv_msgs=1000\b/, text.slice(-800));
          assert.match(text, /Total lost packets 0 /);
          assert.equal(code, 0);
        });
      }

  it("relays between two allocations", () => {
    const { text } = client(["-y", "-c", "-m", "4", "-n", "50", "-l", "170", ...USER, ADDRESS]);
    assert.match(text, /tot_send_msgs=(\d+), tot_recv_msgs=\1\b/, text.slice(-800));
  });

  it("is refused with a wrong password", () => {
    const { text } = client(["-c", "-e", ADDRESS, "-X", "-u", "alice", "-w", "looking-glass", ADDRESS]);
    assert.match(text, /Cannot complete Allocation|error 401/);
  });

  for (const denied of ["169.254.169.254", "192.168.1.1", "0.0.0.0"])
    it(`is refused the peer ${denied}`, () => {
      const { text } = client(["-c", "-s", "-e", denied, "-X", ...USER, ADDRESS]);
      assert.match(text, /error 403/, text.slice(-800));
    });
});
