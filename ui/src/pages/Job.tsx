// One job, whatever its age: the live view.
import { useParams } from "react-router";
import { JobLive } from "../live/JobLive";

export function JobPage() {
  const { job = "" } = useParams();
  return <JobLive key={job} id={job} />;
}
