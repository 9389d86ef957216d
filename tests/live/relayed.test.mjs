// Calls that go through the relay alone, over each of its transports; over TCP and TLS in a network that lets no UDP pass at all.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chromium, firefox, HTTP, server, until, withoutUdp } from "./lab.mjs";

const TRANSPORTS = [
  { name: "UDP", protocol: "udp", listen: { tcp: false, tls: false }, blocked: false },
  { name: "TCP", protocol: "tcp", listen: { tcp: true, tls: false }, blocked: true },
  { name: "TLS", protocol: "tls", listen: { tcp: false, tls: true }, blocked: true },
];
const BROWSERS = { Chromium: chromium, Firefox: firefox };

for (const { name, protocol, listen, blocked } of TRANSPORTS)
  describe(`the relay over ${name}${blocked ? ", without UDP" : ""}`, () => {
    for (const [browser, launch] of Object.entries(BROWSERS))
      it(`carries a call of two in ${browser}`, async (t) => {
        const pointsman = await server(listen);
        const unblock = blocked ? withoutUdp() : () => {};
        const opened = await launch(pointsman);
        try {
          const tabs = [await opened.tab("Ada", 20), await opened.tab("Grace", 200)];
          for (const tab of tabs) await tab.open(`${HTTP}/?room=relayed&name=${tab.name}&join=1&relay=1&token=${pointsman.token("relayed", tab.name)}`);
          t.diagnostic(`met ${await tabs[1].meets([tabs[0]], 30_000)} ms after opening the page`);
          await tabs[0].meets([tabs[1]], 30_000);
          for (const tab of tabs) {
            // Statistics lag behind the first picture.
            await until(`${tab.name} tells of its path`, 5_000, async () => (await tab.relayed()).length > 0);
            assert.deepEqual([...new Set(await tab.relayed())], ["relay"], `${tab.name} must be relayed`);
            assert.deepEqual([...new Set(await tab.relayProtocols())], [protocol]);
          }
          // The relay's peer is our own media: no socket lies between, and no allow-list is needed for it.
          assert.match(await pointsman.metrics(), /pointsman_engine_relay_sockets\{shard="0"\} 0\n/);
        } finally {
          await opened.close();
          unblock();
          await pointsman.stop();
        }
      });
  });
