/** What the machine gives to this process, as metrics. */
import { counter, gauge, type Metric } from "@egtp/node/metrics";

export function processMetrics(): Metric[] {
  const { user, system } = process.cpuUsage();
  return [
    counter("process_cpu_seconds_total", "User and system time of all threads, in seconds.", (user + system) / 1e6),
    gauge("process_resident_memory_bytes", "Resident memory of the process.", process.memoryUsage.rss()),
    gauge("process_uptime_seconds", "Seconds since the process started.", Math.floor(process.uptime())),
  ];
}
