-- Bytecode through load.
-- load: policy
return load("\27Lua")()
