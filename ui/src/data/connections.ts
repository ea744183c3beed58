// Where databases, clusters and services are, and as whom: never with a credential in it.
import { useQuery } from "@tanstack/react-query";
import type { components } from "../api/schema";
import { call } from "../api/client";
import { useWrite } from "./write";

export type ConnectionView = components["schemas"]["ConnectionView"];
export type ConnectionBody = components["schemas"]["ConnectionBody"];

export function useConnections() {
  return useQuery({ queryKey: ["connections"], queryFn: () => call<ConnectionView[]>("GET", "/connections"), retry: false });
}

/** `version` is the resource_version that was read; 0: it must be new. */
export function useSetConnection() {
  return useWrite([["connections"]], ({ name, body, version }: { name: string; body: ConnectionBody; version: number }) =>
    call<ConnectionView>("PUT", `/connections/${encodeURIComponent(name)}`, { body, headers: { "If-Match": String(version) } }),
  );
}

export function useDeleteConnection() {
  return useWrite([["connections"]], (name: string) => call<unknown>("DELETE", `/connections/${encodeURIComponent(name)}`));
}
