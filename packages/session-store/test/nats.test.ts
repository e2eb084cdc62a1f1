/** The way to a NATS cluster: what it says when there is none, and how patiently it asks. */
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { durabilityWarning, jetStreamReport, NatsLink, readJetStreamReport } from "../src/nodejs/nats.ts";
import { NatsQuestions } from "../src/nodejs/nats-questions.ts";

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

  it("asks many things at once, and gives each its own answer", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    await link.openStream({ name: "many", subjects: ["many.*"], num_replicas: 1 });
    const numbers = Array.from({ length: 200 }, (_, n) => n);
    const answers = await Promise.all(
      numbers.map((n) => link.questions.ask<{ seq: number }>(`many.${n}`, new Uint8Array(n))),
    );
    expect(answers.map(({ seq }) => seq)).toEqual(numbers.map((n) => n + 1));
    const get = (seq: number) => link.questions.ask("$JS.API.STREAM.MSG.GET.many", JSON.stringify({ seq }));
    const [found, absent] = await Promise.allSettled([get(200), get(201)]);
    expect(found).toMatchObject({ status: "fulfilled", value: { message: { subject: "many.199" } } });
    expect(absent).toMatchObject({ status: "rejected" });
    expect(link.apiCode((absent as PromiseRejectedResult).reason)).toBe(10_037);
    await link.close();
  });

  it("gives up a question that nobody answers, so that it is asked again", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    const { errors } = link.nats;
    await expect(link.questions.ask("nobody", "")).rejects.toBeInstanceOf(errors.RequestError);
    link.connection.subscribe("silent", { callback: () => {} });
    const quick = new NatsQuestions(link.nats, link.connection, 20);
    const asked = [1, 2, 3].map(() => quick.ask("silent", ""));
    for (const each of asked) await expect(each).rejects.toBeInstanceOf(errors.TimeoutError);
    let questions = 0;
    const again = link.patiently(async () => {
      questions += 1;
      if (questions > 1) await link.openStream({ name: "late", subjects: ["late"], num_replicas: 1 });
      return link.questions.ask<{ seq: number }>("late", "");
    });
    expect(await again).toMatchObject({ seq: 1 });
    const open = link.questions.ask("silent", "");
    await Promise.all([expect(open).rejects.toBeInstanceOf(errors.ClosedConnectionError), link.close()]);
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
