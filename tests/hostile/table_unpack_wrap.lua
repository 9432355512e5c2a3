-- Unpack whose count wraps around.
-- load: ok
-- call: policy
return function() return table.unpack({}, math.mininteger, math.maxinteger) end
