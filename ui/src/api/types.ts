// Short names for what the API gives and takes; the shapes are generated (npm run types), never written here.
import type { components } from "./schema";

type Schemas = components["schemas"];
export type NodeView = Schemas["NodeView"];
export type Resolved = Schemas["Resolved"];
export type StretchView = Schemas["StretchView"];
export type SampleView = Schemas["SampleView"];
export type JobView = Schemas["JobView"];
export type NodeTaskView = Schemas["NodeTaskView"];
export type SubmittedView = Schemas["SubmittedView"];
export type TaskView = Schemas["TaskView"];
export type SubmitBody = Schemas["SubmitBody"];
export type PreviewView = Schemas["PreviewView"];
export type WhyView = Schemas["WhyView"];
export type TokenView = Schemas["nodes_types_TokenView"];
export type WhoView = Schemas["WhoView"];
export type RolloutJson = Schemas["RolloutJson"];
export type StageJson = Schemas["StageJson"];
export type PlacementView = Schemas["PlacementView"];
export type RevisionView = Schemas["RevisionView"];
export type AuditView = Schemas["AuditView"];
export type KindView = Schemas["KindView"];
export type FoundView = Schemas["FoundView"];
