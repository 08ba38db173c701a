"""Lines of the acceptance list, on the screen and in a file."""

import pathlib


class Report:
    def __init__(self, path):
        self.path = pathlib.Path(path) if path else None
        self.green = self.red = self.missed = 0
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("", encoding="utf-8")

    def say(self, text):
        print(text, flush=True)
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    def begin(self, section):
        self.say(f"\n== {section}")

    def line(self, good, sentence, figure):
        """A sentence of the list: green or red."""
        self.green += bool(good)
        self.red += not good
        self.say(f"{'ok' if good else 'RED':<8} {sentence:<62} {figure}")

    def goal(self, met, sentence, figure):
        """A goal whose miss is told but keeps nothing open."""
        self.green += bool(met)
        self.missed += not met
        self.say(f"{'ok' if met else 'MISSED':<8} {sentence:<62} {figure}")
