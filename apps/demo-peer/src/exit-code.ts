/** How a command ended, for scripts. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  stored: 3,
  rejected: 4,
  expired: 5,
  unreachable: 6,
  kept: 7,
} as const;
