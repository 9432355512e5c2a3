-- Unpack of millions of values.
-- load: ok
-- call: policy
return function() return table.unpack({}, 1, 1e7) end
