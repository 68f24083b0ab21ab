"""The program behind `a5ctl ui`: it follows the registry and hands what moved to the screens."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen

from a5ctl.console import printable
from a5ctl.tui.desk import Desk
from a5ctl.tui.follow import Change, Follower
from a5ctl.tui.house import HouseScreen, in_background
from a5ctl.tui.looks import DARK, LIGHT
from a5ctl.tui.runs_screen import RunsScreen
from core.errors import UserError

if TYPE_CHECKING:
    from a5ctl.tui.actions import Actions
    from a5ctl.tui.start_command import Forms
    from core.registry.records import EvaluationRecord, RunRecord

LOOK_EVERY_S, LOOK_AT_A_SERVER_EVERY_S = 1.0, 2.0
_LONGEST_MESSAGE = 400


class HouseApp(App[None]):
    """The screens over one registry.

    Args:
        desk: Where everything is read.
        forms: What the form that starts a run asks for.
    """

    CSS_PATH = "a5ctl.tcss"
    TITLE = "a5ctl"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "look_again", "Read everything again", show=False),
        Binding("L", "log", "Log of what was started here", show=False),
        Binding("question_mark", "help", "Keys", key_display="?"),
    ]

    def __init__(self, desk: Desk, forms: "Forms") -> None:
        super().__init__()
        self.desk = desk
        self.forms = forms
        self._follower = Follower(desk.workspace, desk.registry)
        self._looking = False
        self._trouble = ""
        self._actions: Actions | None = None
        self.runs = RunsScreen()
        # before anything is drawn: a change of theme reads the style sheets anew
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.set_reactive(App.theme, DARK.name)

    @property
    def actions_on(self) -> "Actions":
        """What can be done to runs."""
        if self._actions is None:
            from a5ctl.tui.actions import Actions

            self._actions = Actions(self)
        return self._actions

    def on_mount(self) -> None:
        """Show the runs, and look at the registry from now on."""
        self.push_screen(self.runs)
        every = LOOK_EVERY_S if self.desk.registry.database.path else LOOK_AT_A_SERVER_EVERY_S
        self.set_interval(every, self.look)
        self.set_interval(5.0, self.runs.tick)
        self.call_after_refresh(self.look)

    def look(self) -> None:
        """See whether the registry moved; a look that takes long is not overtaken."""
        if not self._looking:
            self._looking = True
            in_background(self, self._look, "look")

    async def _look(self) -> None:
        try:
            change = await self.desk.watch(self._follower.look)
            self._trouble = ""
            if change is not None:
                self.spread(change)
            await self.desk.watch(self._follower.merge_left_behind)
        except UserError as error:
            if str(error) != self._trouble:  # said once, however often it is met
                self._trouble = str(error)
                self.tell(self._trouble, "error")
        finally:
            self._looking = False
        if self._actions is not None:
            self._actions.look_after_started()

    def spread(self, change: Change) -> None:
        """Hand a change to every screen, those below the one on top too."""
        for screen in self.screen_stack:
            if isinstance(screen, HouseScreen) and screen.is_mounted:
                screen.follow(change)

    def tell(self, text: str, severity: str = "information") -> None:
        """A short message; nothing in it acts."""
        shown = printable(text[:_LONGEST_MESSAGE])
        kind = cast(Literal["information", "warning", "error"], severity)
        self.notify(shown, severity=kind, markup=False, timeout=8 if severity == "error" else 4)

    def open_run(self, run: "RunRecord") -> None:
        """Everything about one run."""
        from a5ctl.tui.run_screen import RunScreen

        self.push_screen(RunScreen(run))

    def open_responses(self, run: "RunRecord", evaluation: "EvaluationRecord") -> None:
        """The responses of an evaluation."""
        from a5ctl.tui.responses_screen import ResponsesScreen

        self.push_screen(ResponsesScreen(run, evaluation))

    def open_pair(self, a: "RunRecord", b: "RunRecord") -> None:
        """Two runs side by side, the older one first."""
        from a5ctl.tui.pair_screen import PairScreen

        first, second = sorted((a, b), key=lambda run: run.created)
        self.push_screen(PairScreen(first, second))

    def action_help(self) -> None:
        """All keys of the screen."""
        from a5ctl.tui.help import Help

        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.screen))

    def action_log(self) -> None:
        """What the program that was started last prints."""
        self.actions_on.show_log()

    def action_look_again(self) -> None:
        """Read everything again."""
        self._follower = Follower(self.desk.workspace, self.desk.registry)
        self.look()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette finds: every action of the screen, and what the toolkit offers."""
        for active in screen.active_bindings.values():
            binding = active.binding
            own = isinstance(active.node, HouseScreen | HouseApp) or binding.show
            if own and binding.description and binding.action != "command_palette":
                node, action = active.node, binding.action
                yield SystemCommand(
                    binding.description,
                    f"{_meaning(node, action)} (key {binding.key_display or binding.key})",
                    lambda node=node, action=action: self.run_worker(self.run_action(action, node)),
                )
        yield SystemCommand("Theme", "light, dark and others", self.action_change_theme)

    async def on_unmount(self) -> None:
        """Let go of the registry."""
        self._follower.close()


def _meaning(node: DOMNode, action: str) -> str:
    """What an action does, as its own first line says."""
    name = action.partition("(")[0].rpartition(".")[2]
    documented = getattr(node, f"action_{name}", None)
    return (getattr(documented, "__doc__", "") or name).strip().splitlines()[0]
