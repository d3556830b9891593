/** A chart of values over time, drawn by uPlot; it loads with the first chart. */
import { useEffect, useRef } from "preact/hooks";
import { clock } from "~/app/i18n";
import type { AlignedData } from "uplot";

export interface Line {
  label: string;
  /** The name of a colour of `tokens.css`, as `--accent`. */
  colour: string;
  values: (number | null)[];
}

interface ChartProps {
  /** Says in words what the chart shows, for people who do not see it. */
  label: string;
  /** Seconds since the epoch. */
  times: number[];
  lines: Line[];
  height?: number;
  format?: (value: number) => string;
}

export function Chart({ label, times, lines, height = 160, format = String }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let stop = () => undefined as void;
    let isGone = false;
    void Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]).then(([{ default: UPlot }]) => {
      if (isGone) return;
      const isLong = (times.at(-1) ?? 0) - (times[0] ?? 0) > 86_400;
      const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      const axis = { stroke: colour("--text-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
      const plot = new UPlot(
        {
          width: element.clientWidth,
          height,
          legend: { show: false },
          cursor: { y: false },
          axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000, isLong)) }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => format(tick)) }],
          scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
          series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.5, points: { show: false } }))],
        },
        [times, ...lines.map((line) => line.values)] as AlignedData,
        element,
      );
      const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
      observer.observe(element);
      stop = () => {
        observer.disconnect();
        plot.destroy();
      };
    });
    return () => {
      isGone = true;
      stop();
    };
  }, [times, lines, height, format]);
  return (
    <figure class="chart">
      <figcaption>
        {lines.map((line) => <span key={line.label} class="chart-key" style={{ "--key": `var(${line.colour})` }}>{line.label}</span>)}
      </figcaption>
      <div ref={box} role="img" aria-label={label} />
    </figure>
  );
}
