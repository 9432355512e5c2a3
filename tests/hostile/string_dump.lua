-- Bytecode of a function.
-- load: ok
-- call: policy
return function() return string.dump(print) end
