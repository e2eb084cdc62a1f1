/** What the machine gives to this process, as metrics. */
import { gauge, type Metric } from "@egtp/node/metrics";

export function processMetrics(): Metric[] {
  return [
    gauge("process_resident_memory_bytes", "Resident memory of the process.", process.memoryUsage.rss()),
    gauge("process_uptime_seconds", "Seconds since the process started.", Math.floor(process.uptime())),
  ];
}
