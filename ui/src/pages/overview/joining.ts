// The commands that make a machine a node, as docs/operations.md has them. Pure texts.

/** With systemd, or in the background of a machine that has none. */
export type Way = "systemd" | "bare";

const AGENT = "corral-agent.pyz";
/** Where it stays: the units name the file they were written by. */
const PLACE = `/usr/local/lib/${AGENT}`;

export const BUNDLE = `corral agent bundle --out ${AGENT}`;

/** `local`: the server is reached at its own machine alone, so that is the machine. */
export function carry(local: boolean): string {
  return local ? `install ${AGENT} ${PLACE}` : `scp ${AGENT} root@MACHINE:${PLACE}`;
}

export function enrol(server: string, token: string, way: Way): string {
  return `python3 ${PLACE} agent enroll --server ${server} --token ${token}${way === "systemd" ? " --write-units" : ""}`;
}

export const START: Record<Way, readonly string[]> = {
  systemd: ["systemctl daemon-reload && systemctl enable --now corral-daemon.service corral-worker.service"],
  // The worker first: a daemon that finds none says for a moment that it is down.
  bare: (["worker", "daemon"] as const).map((role) => `setsid nohup python3 ${PLACE} agent ${role} >/dev/null 2>&1 </dev/null &`),
};
