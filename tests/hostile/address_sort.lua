-- The order of addresses through comparison.
-- load: ok
-- call: policy
return function() local t = { {}, {}, {} } table.sort(t) end
