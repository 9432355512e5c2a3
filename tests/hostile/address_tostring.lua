-- Addresses of tables, functions and coroutines.
-- load: ok
-- call: ok
-- result: table function thread
return function() return tostring({}) .. " " .. tostring(print) .. " " .. tostring(coroutine.create(print)) end
