/** What so many peers take, from what one of them takes. */

/** Of one core, in seconds, and in bytes: by the benchmark of this repository, on the machine that docs/scaling.md names. */
export interface UnitCosts {
  /** To answer a look-up, or to take a record in that is there already. */
  readonly askSeconds: number;
  /** To renew the registration of an owner. */
  readonly registerSeconds: number;
  /** To take in, store and sync a mail of 1 KiB, and to hand it over. */
  readonly mailSeconds: number;
  /** To pass a message of 1 KiB along to an owner that is there. */
  readonly passSeconds: number;
  /** Of an idle owner that is connected, resident. */
  readonly ownerBytes: number;
  /** Of a record in a directory, with all that belongs to it. */
  readonly recordBytes: number;
}

export const measuredCosts: UnitCosts = {
  askSeconds: 400e-6,
  registerSeconds: 400e-6,
  mailSeconds: (13.3 + 6.33) * 1e-6,
  passSeconds: 6.64e-6,
  ownerBytes: 63_000,
  recordBytes: 1_000,
};

/** How full a core, and its memory, is to be at most: there are bad moments. */
export const fullness = 0.5;

export interface DirectoryPlan {
  readonly recordsEach: number;
  readonly gibibytesEach: number;
  /** Records that are brought again, each second. */
  readonly publishesEach: number;
  readonly coresEach: number;
}

export function planDirectory(
  {
    peers,
    metatrackers,
    copies,
    recheckSeconds,
  }: Record<"peers" | "metatrackers" | "copies" | "recheckSeconds", number>,
  costs: UnitCosts,
): DirectoryPlan {
  const recordsEach = (peers * copies) / metatrackers;
  const publishesEach = recordsEach / recheckSeconds;
  return {
    recordsEach,
    gibibytesEach: (recordsEach * costs.recordBytes) / 2 ** 30,
    publishesEach,
    coresEach: (publishesEach * costs.askSeconds) / fullness,
  };
}

export interface RelayPlan {
  readonly instances: number;
  readonly ownersEach: number;
  readonly gibibytesEach: number;
  /** To renew registrations alone. */
  readonly coresEach: number;
}

/** @param maxOwners - Of one instance: its links. */
export function planRelays(
  { owners, maxOwners, refreshSeconds }: Record<"owners" | "maxOwners" | "refreshSeconds", number>,
  costs: UnitCosts,
): RelayPlan {
  const perCore = (fullness * refreshSeconds) / costs.registerSeconds;
  const instances = Math.ceil(owners / Math.min(maxOwners, perCore));
  const ownersEach = owners / instances;
  return {
    instances,
    ownersEach,
    gibibytesEach: (ownersEach * costs.ownerBytes) / 2 ** 30,
    coresEach: (ownersEach / refreshSeconds) * costs.registerSeconds,
  };
}

export interface Prices {
  /** Of a core and of a gigabyte that leaves the data centre. */
  readonly coreHour: number;
  readonly gigabyte: number;
}

/** Of a million messages of 1 KiB through a relay, without what idle owners cost. */
export function costOfMillion(seconds: number, { coreHour, gigabyte }: Prices): { core: number; traffic: number } {
  return { core: ((1e6 * seconds) / fullness / 3_600) * coreHour, traffic: ((1e6 * 1_200) / 1e9) * gigabyte };
}
