// Who may do what, and what they did.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { components } from "../api/schema";
import { call, page, query } from "../api/client";
import { listen } from "../api/sse";
import type { AuditView, TokenView } from "../api/types";
import { useWrite } from "./write";

type Schemas = components["schemas"];
export type UserView = Schemas["UserView"];
export type UserBody = Schemas["UserBody"];
export type NewUserView = Schemas["NewUserView"];
export type RoleView = Schemas["RoleView"];
export type GrantView = Schemas["GrantView"];
export type GrantBody = Schemas["GrantBody"];
export type CanIView = Schemas["CanIView"];
export type TokenBody = Schemas["TokenBody"];
export type ApiTokenView = Schemas["access_TokenView"];
export type NewTokenView = Schemas["NewTokenView"];

export function useUsers() {
  return useInfiniteQuery({
    queryKey: ["access", "users"],
    queryFn: ({ pageParam }) => page<UserView[]>("GET", `/users${query({ limit: 100, cursor: pageParam })}`),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    retry: false,
  });
}

export function useInvite() {
  return useWrite([["access"]], (body: UserBody) => call<NewUserView>("POST", "/users", { body }));
}

export function useDisable() {
  return useWrite([["access", "users"]], ({ user, disabled }: { user: UserView; disabled: boolean }) =>
    call<UserView>("PATCH", `/users/${encodeURIComponent(user.name)}`, { body: { disabled, resource_version: user.resource_version } }),
  );
}

export function useRoles(wanted = true) {
  return useQuery({ queryKey: ["access", "roles"], queryFn: () => call<RoleView[]>("GET", "/roles"), enabled: wanted, retry: false });
}

export function useGrants() {
  return useQuery({ queryKey: ["access", "grants"], queryFn: () => call<GrantView[]>("GET", "/grants"), retry: false });
}

export function useGrant() {
  return useWrite([["access"]], (body: GrantBody) => call<GrantView>("POST", "/grants", { body }));
}

export function useTakeBack() {
  return useWrite([["access"]], (grant: string) => call<unknown>("DELETE", `/grants/${encodeURIComponent(grant)}`));
}

export function useCanI(user: string, permission: string, selector: string) {
  return useQuery({
    queryKey: ["access", "can-i", user, permission, selector],
    queryFn: () => call<CanIView>("GET", `/can-i${query({ user, permission, selector })}`),
    enabled: permission !== "",
    retry: false,
  });
}

/** All API tokens for who may see them, else one's own. */
export function useApiTokens(all: boolean) {
  return useQuery({
    queryKey: ["access", "tokens", all],
    queryFn: () => call<ApiTokenView[]>("GET", all ? "/api-tokens" : "/me/api-tokens"),
    retry: false,
  });
}

/** For who may make any (`all`) one of nobody's own; a user makes his own, which can do no more than he. */
export function useNewApiToken(all: boolean) {
  return useWrite([["access", "tokens"]], (body: Schemas["TokenBody"]) => call<NewTokenView>("POST", all ? "/api-tokens" : "/me/api-tokens", { body }));
}

export function useRevokeApiToken(all: boolean) {
  return useWrite([["access", "tokens"]], (id: string) =>
    call<unknown>("DELETE", `${all ? "/api-tokens" : "/me/api-tokens"}/${encodeURIComponent(id)}`),
  );
}

export function useJoinTokens() {
  return useQuery({ queryKey: ["access", "join"], queryFn: () => call<TokenView[]>("GET", "/tokens"), retry: false });
}

export function useRevokeJoinToken() {
  return useWrite([["access", "join"]], (id: string) => call<unknown>("DELETE", `/tokens/${encodeURIComponent(id)}`));
}

export interface AuditFilter {
  actor: string;
  action: string;
  outcome: string;
  node: string;
}

export function useAudit(filter: AuditFilter) {
  return useInfiniteQuery({
    queryKey: ["audit", "pages", filter],
    queryFn: ({ pageParam }) => page<AuditView[]>("GET", `/audit${query({ ...filter, limit: 50, cursor: pageParam })}`),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    retry: false,
  });
}

export interface Verification {
  running: boolean;
  checked: number;
  total: number;
  verdict: Record<string, unknown> | null;
}

/** Has the server prove the whole record; begins when `turn` is above 0. */
export function useVerify(turn: number): Verification {
  const [found, setFound] = useState<Verification>({ running: false, checked: 0, total: 0, verdict: null });
  useEffect(() => {
    if (turn === 0) return;
    setFound({ running: true, checked: 0, total: 0, verdict: null });
    return listen("/audit/verify", {
      endsWith: ["verdict"],
      onState: (state) => state === "refused" && setFound((before) => ({ ...before, running: false })),
      onEvent: ({ event, data }) => {
        const body = JSON.parse(data) as Record<string, unknown>;
        if (event === "verdict") setFound((before) => ({ ...before, running: false, verdict: body }));
        else setFound((before) => ({ ...before, checked: Number(body["checked"] ?? 0), total: Number(body["total"] ?? 0) }));
      },
    });
  }, [turn]);
  return found;
}
