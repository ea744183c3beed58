// The pages one can go to, and the key that goes there after `g`.
export const PLACES = [
  { name: "overview", path: "/", key: "o" },
  { name: "nodes", path: "/nodes", key: "n" },
  { name: "run", path: "/run", key: "r" },
  { name: "jobs", path: "/jobs", key: "j" },
  { name: "rollouts", path: "/rollouts", key: "l" },
  { name: "files", path: "/files", key: "f" },
  { name: "access", path: "/access", key: "a" },
] as const;
