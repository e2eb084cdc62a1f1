/**
 * Limits as a program sets them: the defaults with its changes.
 *
 * @throws `RangeError` for one that is no number above 0, and so cannot work.
 */
export function checkedLimits<T extends object>(defaults: T, changes: Partial<T> = {}): T {
  const limits = { ...defaults, ...changes };
  for (const [name, value] of Object.entries<unknown>(limits)) {
    if (typeof value !== "number" || !(value > 0)) {
      throw new RangeError(`${name} must be a number above 0, not ${String(value)}`);
    }
  }
  return limits;
}
