"""The last line of a screen: its most useful keys, as one text that costs next to nothing."""

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.screen import Screen
from textual.widget import Widget


class KeyLine(Widget):
    """Shows the keys that a screen wants to show; a click on one presses it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key"}

    def on_mount(self) -> None:
        """Follow the keys of what has the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._updated)

    def render(self) -> Text:
        """Keys and what they do."""
        line = Text(no_wrap=True, overflow="ellipsis")
        look = self.get_component_rich_style("key-line--key", partial=True)
        for _, shown, meaning in self._keys():
            line.append(f" {shown}", look).append(f" {meaning}")
        return line

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        at = 0
        for key, shown, meaning in self._keys():
            at += len(shown) + len(meaning) + 2
            if event.x < at:
                self.app.simulate_key(key)
                return

    def _updated(self, _: Screen[object]) -> None:
        self.refresh()

    def _keys(self) -> list[tuple[str, str, str]]:
        """(key, how it is shown, meaning), one for each action."""
        found: dict[str, tuple[str, str, str]] = {}
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if binding.show and binding.description:
                shown = binding.key_display or key
                found.setdefault(binding.action, (key, shown, binding.description))
        return list(found.values())
