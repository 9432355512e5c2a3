-- A byte order mark and a first line that is a comment of the shell.
-- load: syntax
#!/usr/bin/lua
return function() end
