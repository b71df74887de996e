"""Which tasks there are: the folders here, and folders of the user's anywhere (`-d PATH`).

A task is known by its name, or by the absolute path of its folder.
"""

from s3prl.utility.plugin_room import PluginRoom, label

__all__ = ["check_task", "default_config", "import_expert", "label", "named", "package_of", "tasks"]

ROOM = PluginRoom("downstream", "expert", "DownstreamExpert", "-d", "downstream", "downstream", "task")

tasks = ROOM.names
named = ROOM.named
check_task = ROOM.check
default_config = ROOM.config
package_of = ROOM.package
import_expert = ROOM.load
