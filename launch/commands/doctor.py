"""`ostinato doctor`."""

import json
from dataclasses import dataclass

from ostinato.configs.errors import ExitCode
from ostinato.launch.commands.show import say


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Says what there is on this machine, what is missing for what, and how to mend it."""

    json: bool = False
    """Print one line of JSON instead, for a bug report."""

    def run(self) -> int:
        """Prints what is found; returns 0 if all that is needed is there."""
        from ostinato.launch.doctor import examine

        findings = []
        for finding in examine():
            findings.append(finding)
            if not self.json:
                mark = "✗" if finding.is_needed else "-" if finding.mend else "✓"
                say(f"{mark} {finding.name:22} {finding.found}", *([f"{'':25}{finding.mend}"] if finding.mend else []))
        if self.json:
            print(json.dumps([finding._asdict() for finding in findings]))
        return ExitCode.USAGE if any(finding.is_needed for finding in findings) else ExitCode.FINISHED
