"""The command gst_jax: every verb is a module, so that `python -m gst_jax.VERB` is the same."""

from __future__ import annotations

import runpy
import sys

from gst_jax import __version__

VERBS = {
    "convert": "turn songs of one genre into another",
    "prepare": "look over your music before training",
    "train": "learn two genres, from your folders or the built-in music",
    "evaluate": "measure how good a run is",
    "report": "write the page on which a run is heard and seen",
    "studio": "convert, train and listen in your browser",
    "export": "write a trained conversion for other programs",
    "bench": "measure how fast this machine is",
}
_HELP = """Turn a song of one genre into another.

  gst_jax convert song.mp3 --to=jazz         with a model that comes along
  gst_jax train --audio_dir=my_music         my_music holds a folder per genre

Commands; gst_jax COMMAND --help tells more:
{verbs}

gst_jax --version says which version this is; eval "$(gst_jax --completion)"
has bash and zsh complete commands and options."""
# It asks --help each time, so it knows what there is.
_COMPLETION = r"""[ -n "$ZSH_VERSION" ] && autoload -Uz compinit bashcompinit && compinit && bashcompinit
_gst_jax() {
  local found="$(gst_jax --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')"
  if [ "$COMP_CWORD" -gt 1 ]; then
    found="$(gst_jax "${COMP_WORDS[1]}" --help 2> /dev/null | sed -n 's/^  \(--[a-z_]*\).*/\1/p')"
  fi
  COMPREPLY=($(compgen -W "$found" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _gst_jax gst_jax"""


def main() -> None:
    """Hand the rest of the command line to the verb's module."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(_HELP.format(verbs="\n".join(f"  {name:10}{text}" for name, text in VERBS.items())))
    elif verb == "--version":
        print(f"gst_jax {__version__}")
    elif verb == "--completion":
        print(_COMPLETION)
    elif verb in VERBS:
        sys.argv = [sys.argv[0], *rest]
        try:
            runpy.run_module(f"gst_jax.{verb}", run_name="__main__", alter_sys=True)
        except KeyboardInterrupt:  # while it was imported
            print("gst_jax: interrupted", file=sys.stderr)
            sys.exit(130)
    else:
        from gst_jax.runs.command_line import nearest

        sys.exit(f"gst_jax: there is no command {verb!r}{nearest(verb, VERBS) or '; there are ' + ', '.join(VERBS)}")


if __name__ == "__main__":
    main()
