/** The way to a NATS cluster: what it says when there is none, and how patiently it asks. */
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { durabilityWarning, jetStreamReport, NatsLink, readJetStreamReport } from "../src/nodejs/nats.ts";

describeWithNats("the way to a NATS cluster", () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start();
  });
  afterAll(() => cluster.stop());

  it("knows the server, and reads what its monitor says", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    expect(link.serverVersion).toMatch(/^\d+\.\d+\.\d+/);
    await link.manager.streams.add({ name: "one", subjects: ["one.*"] });
    await link.jetstream.publish("one.a", new Uint8Array(10));
    expect(await readJetStreamReport(cluster.monitorUrl(0))).toMatchObject({ streams: 1, messages: 1 });
    await link.close();
    await link.close();
  });

  it("asks again while it may pass", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    let asked = 0;
    const answer = await link.patiently(async () => {
      asked += 1;
      if (asked < 3) throw new link.nats.errors.TimeoutError();
      return asked;
    });
    expect(answer).toBe(3);
    await link.close();
  });

  it("tells whether there is a server, and finds it again", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    expect(link.isConnected).toBe(true);
    await cluster.kill(0);
    await expect.poll(() => link.isConnected).toBe(false);
    await cluster.restart(0);
    await expect.poll(() => link.isConnected).toBe(true);
    await link.close();
    expect(link.isConnected).toBe(false);
  });

  it("gives up in time, at once when told to, and when it is closed", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    const fails = async (): Promise<never> => {
      throw new link.nats.errors.TimeoutError();
    };
    await expect(link.patiently(fails, { giveUpMs: 1 })).rejects.toMatchObject({ code: "EGTP_STORE_UNREACHABLE" });
    const abort = new AbortController();
    const waiting = link.patiently(fails, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await link.close();
    await expect(link.patiently(() => link.manager.getAccountInfo())).rejects.toMatchObject({
      code: "EGTP_STORE_CLOSED",
    });
  });

  it("does not take one server for a cluster, though that one would say yes", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    await link.openStream({ name: "two", subjects: ["two.*"], num_replicas: 1 });
    for (const name of ["two", "three"]) {
      const asked = link.openStream({ name, subjects: [`${name}.*`], num_replicas: 3 });
      await expect(asked).rejects.toMatchObject({
        code: "EGTP_STORE_UNREACHABLE",
        message: expect.stringContaining("alone") as string,
      });
    }
    await link.close();
  });

  it.each([
    [10_005, 400, "no suitable peers for placement"],
    [10_158, 409, "duplicate message id is in process"],
    [10_164, 400, "wrong last sequence"],
    [10_167, 429, "too many requests"],
  ])("asks again when the answer is a no that may pass: %i", async (err_code, code, description) => {
    const link = await NatsLink.open({ servers: cluster.urls });
    let asked = 0;
    const answer = await link.patiently(async () => {
      asked += 1;
      if (asked < 3) throw new link.nats.JetStreamApiError({ err_code, code, description });
      return asked;
    });
    expect(answer).toBe(3);
    await link.close();
  });

  it("does not ask again when the answer is no", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    const refused = await link.patiently(() => link.manager.streams.info("absent")).catch((error: unknown) => error);
    expect(link.apiCode(refused)).toBe(10_059);
    await link.close();
  });
});

describe("a NATS cluster that cannot be used", () => {
  it("is told with a remedy", async () => {
    // Nobody listens at port 1.
    await expect(NatsLink.open({ servers: ["nats://127.0.0.1:1"] })).rejects.toMatchObject({
      code: "EGTP_STORE_UNREACHABLE",
      hint: expect.stringContaining("credentials") as string,
    });
    await expect(readJetStreamReport("http://127.0.0.1:1")).rejects.toMatchObject({ code: "EGTP_STORE_UNREACHABLE" });
  });

  it("is not asked with a password in its address, which would stand in logs", async () => {
    await expect(NatsLink.open({ servers: ["nats://user:secret@127.0.0.1:4222"] })).rejects.toThrow(RangeError);
  });
});

describe("what NATS acknowledges", () => {
  it("is said to be at risk unless it is on the disk", () => {
    const report = (config: object) => jetStreamReport({ streams: 1, messages: 2, bytes: 3, config });
    expect(durabilityWarning("2.9.10")).toContain("2.10 or later");
    expect(durabilityWarning("2.9.10", report({ sync_always: true }))).toContain("2.10 or later");
    expect(durabilityWarning("2.10.0")).toBeUndefined();
    expect(durabilityWarning("2.12.1", report({ sync_always: true, sync_interval: 120e9 }))).toBeUndefined();
    expect(durabilityWarning("2.12.1", report({ sync_interval: 10e9 }))).toContain("every 10 s");
    expect(durabilityWarning("2.12.1", report({}))).toContain("every 120 s");
  });
});
